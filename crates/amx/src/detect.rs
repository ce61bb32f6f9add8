//! Detection of the CPU's features and the operating system's permission.

use std::sync::OnceLock;

/// Proof that this process may execute AMX instructions: `amx-tile`, `amx-int8` and `amx-bf16`, and
/// AVX-512 (F, BW and VL) for packing.
#[derive(Debug, Clone, Copy)]
pub struct Amx(platform::Permission);

impl Amx {
    /// Returns `None` if the CPU or the operating system does not support AMX. The first call asks
    /// the operating system for permission to use tiles, for all threads of the process.
    pub fn detect() -> Option<Self> {
        static DETECTED_AMX: OnceLock<Option<Amx>> = OnceLock::new();
        *DETECTED_AMX.get_or_init(|| platform::Permission::request().map(Self))
    }

    /// Returns the permission, whose type has no values on platforms without AMX.
    pub(crate) fn permission(self) -> platform::Permission {
        self.0
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod platform {
    use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Permission(());

    impl Permission {
        pub(super) fn request() -> Option<Self> {
            (cpu_has_amx() && request_tile_data()).then_some(Self(()))
        }
    }

    fn cpu_has_amx() -> bool {
        const OSXSAVE: u32 = 1 << 27;
        const AMX_BF16_TILE_INT8: u32 = 1 << 22 | 1 << 24 | 1 << 25;
        const XTILECFG_XTILEDATA: u64 = 1 << 17 | 1 << 18;
        if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE == 0 {
            return false;
        }
        if __cpuid_count(7, 0).edx & AMX_BF16_TILE_INT8 != AMX_BF16_TILE_INT8 {
            return false;
        }
        // SAFETY: OSXSAVE is set, so `xgetbv` is available to programs.
        let enabled = unsafe { _xgetbv(0) };
        enabled & XTILECFG_XTILEDATA == XTILECFG_XTILEDATA
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
    }

    /// Asks Linux to let all threads of this process use tile data, for which it allocates 8 KiB
    /// per thread at the first use. Fails before Linux 5.16, and if a thread has a signal stack
    /// that is too small for the tiles.
    fn request_tile_data() -> bool {
        const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
        const XFEATURE_XTILEDATA: libc::c_long = 18;
        // SAFETY: The call passes two integers and changes nothing but the permission of this
        // process.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod platform {
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum Permission {}

    impl Permission {
        pub(super) fn request() -> Option<Self> {
            None
        }
    }
}
