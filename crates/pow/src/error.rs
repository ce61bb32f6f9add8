//! Errors of a search.

/// Why a search cannot begin, or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PowError {
    /// The cargo feature `opencl` is disabled.
    #[error(
        "this program was built without OpenCL\nhint: build it with the cargo feature `opencl`, or use --device cpu"
    )]
    Disabled,
    /// The OpenCL library cannot be loaded.
    #[cfg(feature = "opencl")]
    #[error(
        "cannot load the OpenCL library {library}\nhint: install the driver of the graphics card with its \
         OpenCL support and an ICD loader (Debian: ocl-icd-libopencl1), or use --device cpu"
    )]
    Library {
        /// File name of the library.
        library: &'static str,
        /// Error of the dynamic linker.
        source: libloading::Error,
    },
    /// The OpenCL library has no devices.
    #[cfg(feature = "opencl")]
    #[error(
        "OpenCL has no devices\nhint: install the OpenCL driver of the graphics card (an ICD); `clinfo` lists the \
         installed ones; or use --device cpu"
    )]
    NoDevices,
    /// No device has the requested index.
    #[cfg(feature = "opencl")]
    #[error("there is no OpenCL device {index}\nhint: the devices are {}", list_devices(.devices))]
    NoDevice {
        /// The requested index.
        index: usize,
        /// Names of the devices, in the order of their indices.
        devices: Vec<String>,
    },
    /// The device's compiler rejected the kernel.
    #[cfg(feature = "opencl")]
    #[error(
        "{device} cannot compile the search: {log}\nhint: update its driver, or use another --device"
    )]
    Compile {
        /// Name of the device.
        device: String,
        /// Output of the compiler.
        log: String,
    },
    /// An OpenCL function failed.
    #[cfg(feature = "opencl")]
    #[error(
        "{function} failed with OpenCL error {status}\nhint: update the driver, or use another --device"
    )]
    Call {
        /// Name of the function.
        function: &'static str,
        /// OpenCL's error code.
        status: i32,
    },
    /// The device computes wrong hashes.
    #[cfg(feature = "opencl")]
    #[error("{device} computes wrong hashes\nhint: update its driver, or use another --device")]
    WrongHashes {
        /// Name of the device.
        device: String,
    },
}

/// Lists devices with their indices.
#[cfg(feature = "opencl")]
fn list_devices(devices: &[String]) -> String {
    let named = devices.iter().enumerate().map(|(index, name)| format!("opencl:{index} ({name})"));
    named.collect::<Vec<_>>().join(", ")
}
