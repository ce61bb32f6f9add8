//! Safe wrapper of the few functions of the OpenCL library that the search needs: all `unsafe` code
//! of this crate.
//!
//! The functions are those of OpenCL 1.1, which every driver has; their signatures and constants
//! are those of the Khronos headers. Handles never leave this module, and every handle is released
//! after all that use it.
//!
//! The library is loaded at run time, so that the build needs no SDK, and one program serves
//! machines with and without a graphics card. The crate `cl3`, on which `opencl3` and others build,
//! declares the functions that it loads at run time with Rust's calling convention in place of C's.

use std::ffi::{CStr, c_void};
use std::fmt;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

use libloading::Library;

use crate::error::PowError;

/// File name of the ICD loader, or of the system's library.
const LIBRARY: &str = if cfg!(target_os = "windows") {
    "OpenCL.dll"
} else if cfg!(target_os = "macos") {
    "/System/Library/Frameworks/OpenCL.framework/OpenCL"
} else {
    "libOpenCL.so.1"
};

type Handle = *mut c_void;
type Release = unsafe extern "system" fn(Handle) -> i32;
/// Callback for errors or the end of a compilation; always null here.
type Callback = *const c_void;

const SUCCESS: i32 = 0;
const DEVICE_NOT_FOUND: i32 = -1;
const PLATFORM_NOT_FOUND: i32 = -1001;
const DEVICE_TYPE_ALL: u64 = 0xFFFF_FFFF;
const DEVICE_TYPE_GPU: u64 = 1 << 2;
const DEVICE_TYPE: u32 = 0x1000;
const DEVICE_NAME: u32 = 0x102B;
const CONTEXT_PLATFORM: isize = 0x1084;
const PROGRAM_BUILD_LOG: u32 = 0x1183;
const MEM_READ_WRITE: u64 = 1;
const BLOCKING: u32 = 1;

/// Declares the functions of the library, and loads them.
macro_rules! functions {
    ($($name:ident = $symbol:literal: fn($($argument:ty),*) -> $result:ty;)*) => {
        struct Functions {
            $($name: unsafe extern "system" fn($($argument),*) -> $result,)*
        }

        impl Functions {
            fn load(library: &Library) -> Result<Self, libloading::Error> {
                Ok(Self {
                    // SAFETY: The types are those of the function in the Khronos headers. The
                    // library is never unloaded.
                    $($name: *unsafe { library.get($symbol) }?,)*
                })
            }
        }
    };
}

functions! {
    platforms = "clGetPlatformIDs": fn(u32, *mut Handle, *mut u32) -> i32;
    devices = "clGetDeviceIDs": fn(Handle, u64, u32, *mut Handle, *mut u32) -> i32;
    device_info = "clGetDeviceInfo": fn(Handle, u32, usize, *mut c_void, *mut usize) -> i32;
    create_context = "clCreateContext":
        fn(*const isize, u32, *const Handle, Callback, *mut c_void, *mut i32) -> Handle;
    release_context = "clReleaseContext": fn(Handle) -> i32;
    create_queue = "clCreateCommandQueue": fn(Handle, Handle, u64, *mut i32) -> Handle;
    release_queue = "clReleaseCommandQueue": fn(Handle) -> i32;
    create_program = "clCreateProgramWithSource":
        fn(Handle, u32, *const *const u8, *const usize, *mut i32) -> Handle;
    release_program = "clReleaseProgram": fn(Handle) -> i32;
    build_program = "clBuildProgram":
        fn(Handle, u32, *const Handle, *const u8, Callback, *mut c_void) -> i32;
    build_info = "clGetProgramBuildInfo": fn(Handle, Handle, u32, usize, *mut c_void, *mut usize) -> i32;
    create_kernel = "clCreateKernel": fn(Handle, *const u8, *mut i32) -> Handle;
    release_kernel = "clReleaseKernel": fn(Handle) -> i32;
    set_argument = "clSetKernelArg": fn(Handle, u32, usize, *const c_void) -> i32;
    create_buffer = "clCreateBuffer": fn(Handle, u64, usize, *mut c_void, *mut i32) -> Handle;
    release_buffer = "clReleaseMemObject": fn(Handle) -> i32;
    write = "clEnqueueWriteBuffer":
        fn(Handle, Handle, u32, usize, usize, *const c_void, u32, *const Handle, *mut Handle) -> i32;
    read = "clEnqueueReadBuffer":
        fn(Handle, Handle, u32, usize, usize, *mut c_void, u32, *const Handle, *mut Handle) -> i32;
    enqueue = "clEnqueueNDRangeKernel":
        fn(Handle, Handle, u32, *const usize, *const usize, *const usize, u32, *const Handle, *mut Handle) -> i32;
}

/// Loads the library once. It is never unloaded: drivers keep threads and exit handlers.
fn functions() -> Result<&'static Functions, PowError> {
    static FUNCTIONS: OnceLock<(Functions, Library)> = OnceLock::new();
    if let Some((functions, _)) = FUNCTIONS.get() {
        return Ok(functions);
    }
    // SAFETY: The initialisation of an ICD loader or of the system's OpenCL library has no
    // preconditions.
    let loaded = unsafe { Library::new(LIBRARY) }
        .and_then(|library| Ok((Functions::load(&library)?, library)))
        .map_err(|source| PowError::Library { library: LIBRARY, source })?;
    Ok(&FUNCTIONS.get_or_init(|| loaded).0)
}

/// Converts the status of a function.
fn check_status(function: &'static str, status: i32) -> Result<(), PowError> {
    if status == SUCCESS { Ok(()) } else { Err(PowError::Call { function, status }) }
}

/// An OpenCL device of any platform.
#[derive(Debug)]
pub(super) struct DeviceHandle {
    platform: Handle,
    device: Handle,
    /// The driver's name for the device.
    pub(super) name: String,
    /// Whether the device is a graphics card.
    pub(super) is_gpu: bool,
}

/// Lists the devices of all platforms, in the library's order.
pub(super) fn devices() -> Result<Vec<DeviceHandle>, PowError> {
    let functions = functions()?;
    let platforms = query_handles("clGetPlatformIDs", PLATFORM_NOT_FOUND, |size, items, count| {
        // SAFETY: `items` is null or has space for `size` handles; `count` can be written.
        unsafe { (functions.platforms)(size, items, count) }
    })?;
    let mut handles = Vec::new();
    for platform in platforms {
        let devices = query_handles("clGetDeviceIDs", DEVICE_NOT_FOUND, |size, items, count| {
            // SAFETY: As above, and the platform is one of the library's.
            unsafe { (functions.devices)(platform, DEVICE_TYPE_ALL, size, items, count) }
        })?;
        for device in devices {
            let read_info = |item, size, value, required_size| {
                // SAFETY: The device is one of the library's. `value` is null or has space for
                // `size` bytes; `required_size` is null or can be written.
                unsafe { (functions.device_info)(device, item, size, value, required_size) }
            };
            let name = query_text("clGetDeviceInfo", |size, value, required_size| {
                read_info(DEVICE_NAME, size, value, required_size)
            })?;
            let mut device_type = 0_u64;
            check_status(
                "clGetDeviceInfo",
                read_info(DEVICE_TYPE, size_of::<u64>(), (&raw mut device_type).cast(), null_mut()),
            )?;
            handles.push(DeviceHandle {
                platform,
                device,
                name,
                is_gpu: device_type & DEVICE_TYPE_GPU != 0,
            });
        }
    }
    Ok(handles)
}

/// Lists handles: the first call returns their number, the second one the handles. `empty_status`
/// is the status without any.
fn query_handles(
    function: &'static str,
    empty_status: i32,
    call: impl Fn(u32, *mut Handle, *mut u32) -> i32,
) -> Result<Vec<Handle>, PowError> {
    let mut count = 0;
    let status = call(0, null_mut(), &raw mut count);
    if status == empty_status || (status == SUCCESS && count == 0) {
        return Ok(Vec::new());
    }
    check_status(function, status)?;
    let (mut handles, mut listed_count) = (vec![null_mut(); count as usize], 0);
    check_status(function, call(count, handles.as_mut_ptr(), &raw mut listed_count))?;
    handles.truncate(listed_count as usize);
    Ok(handles)
}

/// Reads a text: the first call returns its length, the second one the text with a NUL.
fn query_text(
    function: &'static str,
    call: impl Fn(usize, *mut c_void, *mut usize) -> i32,
) -> Result<String, PowError> {
    let mut length = 0;
    check_status(function, call(0, null_mut(), &raw mut length))?;
    let mut bytes = vec![0_u8; length];
    check_status(function, call(length, bytes.as_mut_ptr().cast(), null_mut()))?;
    let text_bytes = CStr::from_bytes_until_nul(&bytes).map_or(bytes.as_slice(), CStr::to_bytes);
    Ok(String::from_utf8_lossy(text_bytes).trim().to_owned())
}

/// A handle that is released on drop.
struct OwnedHandle {
    handle: Handle,
    release: Release,
}

impl OwnedHandle {
    /// Takes the result of a function that creates an object, which `release` releases.
    fn new(
        function: &'static str,
        handle: Handle,
        status: i32,
        release: Release,
    ) -> Result<Self, PowError> {
        check_status(function, status)?;
        Ok(Self { handle, release })
    }
}

impl Drop for OwnedHandle {
    fn drop(&mut self) {
        // SAFETY: The library returned the handle, and nothing else releases it.
        let _ = unsafe { (self.release)(self.handle) };
    }
}

/// The compiled kernels on a device, with their buffers.
///
/// The fields are dropped in this order: a context outlives all that it contains.
pub(super) struct Session {
    functions: &'static Functions,
    prepare: OwnedHandle,
    search: OwnedHandle,
    input: OwnedHandle,
    solution: OwnedHandle,
    queue: OwnedHandle,
    _program: OwnedHandle,
    _context: OwnedHandle,
    /// Number of words of `input`.
    input_words: usize,
}

// SAFETY: OpenCL's functions can be called from any thread. Those that change a kernel's arguments
// are not reentrant, and take `&mut self` here.
unsafe impl Send for Session {}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    /// Compiles a source with the kernels `prepare(input)` and `search(input, start, difficulty,
    /// first_solution)`. `input` has `words` words of 32 bits, and `first_solution` one. The source
    /// must not access other memory.
    pub(super) fn open(
        device: &DeviceHandle,
        source: &str,
        words: usize,
    ) -> Result<Self, PowError> {
        let functions = functions()?;
        let (mut status, id) = (SUCCESS, device.device);
        let properties = [CONTEXT_PLATFORM, device.platform as isize, 0];
        // SAFETY: The list of properties ends with 0, and the platform is the device's. There is
        // one device, and no callback.
        let context = unsafe {
            (functions.create_context)(
                properties.as_ptr(),
                1,
                &raw const id,
                null(),
                null_mut(),
                &raw mut status,
            )
        };
        let context =
            OwnedHandle::new("clCreateContext", context, status, functions.release_context)?;
        // SAFETY: The context contains the device.
        let queue = unsafe { (functions.create_queue)(context.handle, id, 0, &raw mut status) };
        let queue =
            OwnedHandle::new("clCreateCommandQueue", queue, status, functions.release_queue)?;
        let (start, length) = (source.as_ptr(), source.len());
        // SAFETY: There is one source, at `start`, of `length` bytes. The library copies it.
        let program = unsafe {
            (functions.create_program)(
                context.handle,
                1,
                &raw const start,
                &raw const length,
                &raw mut status,
            )
        };
        let program = OwnedHandle::new(
            "clCreateProgramWithSource",
            program,
            status,
            functions.release_program,
        )?;
        // SAFETY: The context of the program contains the device. There are no options and no
        // callback, so the function returns when the program is built.
        let status = unsafe {
            (functions.build_program)(program.handle, 1, &raw const id, null(), null(), null_mut())
        };
        if status != SUCCESS {
            let log = query_text("clGetProgramBuildInfo", |size, value, required_size| {
                // SAFETY: The program was built for the device. `value` is null or has space for
                // `size` bytes; `required_size` is null or can be written.
                unsafe {
                    (functions.build_info)(
                        program.handle,
                        id,
                        PROGRAM_BUILD_LOG,
                        size,
                        value,
                        required_size,
                    )
                }
            })?;
            return Err(PowError::Compile { device: device.name.clone(), log });
        }
        Ok(Self {
            functions,
            prepare: functions.kernel(&program, c"prepare")?,
            search: functions.kernel(&program, c"search")?,
            input: functions.buffer(&context, words)?,
            solution: functions.buffer(&context, 1)?,
            queue,
            _program: program,
            _context: context,
            input_words: words,
        })
    }

    /// Writes words to the end of `input`, and runs `prepare` once.
    pub(super) fn prepare(&mut self, words: &[u32]) -> Result<(), PowError> {
        self.functions.write(&self.queue, &self.input, self.input_words, words)?;
        self.functions.set_kernel_argument(&self.prepare, 0, &self.input.handle)?;
        self.functions.enqueue(&self.queue, &self.prepare, 1)
    }

    /// Runs `search` for `count` items, at least 1. Returns the value of `first_solution`, which is
    /// `u32::MAX` at the beginning.
    pub(super) fn search(
        &mut self,
        start: u64,
        difficulty: u64,
        count: u32,
    ) -> Result<u32, PowError> {
        let functions = self.functions;
        functions.write(&self.queue, &self.solution, 1, &[u32::MAX])?;
        functions.set_kernel_argument(&self.search, 0, &self.input.handle)?;
        functions.set_kernel_argument(&self.search, 1, &start)?;
        functions.set_kernel_argument(&self.search, 2, &difficulty)?;
        functions.set_kernel_argument(&self.search, 3, &self.solution.handle)?;
        functions.enqueue(&self.queue, &self.search, count)?;
        let mut offset = u32::MAX;
        let (queue, buffer, value) =
            (self.queue.handle, self.solution.handle, (&raw mut offset).cast());
        // SAFETY: The buffer has one word, and the call returns after `offset` has been written.
        let status = unsafe {
            (functions.read)(
                queue,
                buffer,
                BLOCKING,
                0,
                size_of::<u32>(),
                value,
                0,
                null(),
                null_mut(),
            )
        };
        check_status("clEnqueueReadBuffer", status)?;
        Ok(offset)
    }
}

impl Functions {
    fn kernel(&self, program: &OwnedHandle, name: &CStr) -> Result<OwnedHandle, PowError> {
        let mut status = SUCCESS;
        // SAFETY: The program is built, and the name ends with NUL.
        let kernel =
            unsafe { (self.create_kernel)(program.handle, name.as_ptr().cast(), &raw mut status) };
        OwnedHandle::new("clCreateKernel", kernel, status, self.release_kernel)
    }

    /// Creates a buffer of words of 32 bits.
    fn buffer(&self, context: &OwnedHandle, words: usize) -> Result<OwnedHandle, PowError> {
        let (mut status, size) = (SUCCESS, words * size_of::<u32>());
        // SAFETY: The buffer has its own memory: the pointer to the host's memory is null.
        let buffer = unsafe {
            (self.create_buffer)(context.handle, MEM_READ_WRITE, size, null_mut(), &raw mut status)
        };
        OwnedHandle::new("clCreateBuffer", buffer, status, self.release_buffer)
    }

    /// Writes words to the end of a buffer of `capacity` words. OpenCL rejects words that do not
    /// fit.
    fn write(
        &self,
        queue: &OwnedHandle,
        buffer: &OwnedHandle,
        capacity: usize,
        words: &[u32],
    ) -> Result<(), PowError> {
        let (offset, size) =
            (capacity.saturating_sub(words.len()) * size_of::<u32>(), size_of_val(words));
        let value = words.as_ptr().cast();
        // SAFETY: `words` has `size` bytes, and the call returns after they have been read.
        let status = unsafe {
            (self.write)(
                queue.handle,
                buffer.handle,
                BLOCKING,
                offset,
                size,
                value,
                0,
                null(),
                null_mut(),
            )
        };
        check_status("clEnqueueWriteBuffer", status)
    }

    /// Sets an argument of a kernel: a number, or the handle of a buffer.
    fn set_kernel_argument<T: Copy>(
        &self,
        kernel: &OwnedHandle,
        index: u32,
        value: &T,
    ) -> Result<(), PowError> {
        // SAFETY: `value` has the given size, and the library copies it. The kernels' signatures
        // are those in `open`.
        let status = unsafe {
            (self.set_argument)(
                kernel.handle,
                index,
                size_of::<T>(),
                std::ptr::from_ref(value).cast(),
            )
        };
        check_status("clSetKernelArg", status)
    }

    fn enqueue(
        &self,
        queue: &OwnedHandle,
        kernel: &OwnedHandle,
        count: u32,
    ) -> Result<(), PowError> {
        let (queue, kernel, size) = (queue.handle, kernel.handle, [count as usize]);
        // SAFETY: `size` has one dimension, and all arguments have been set. The kernels access
        // their buffers only.
        let status = unsafe {
            (self.enqueue)(queue, kernel, 1, null(), size.as_ptr(), null(), 0, null(), null_mut())
        };
        check_status("clEnqueueNDRangeKernel", status)
    }
}
