/// Disables further huge pages of memory in this process. Call it once the models of a service are
/// loaded, because weights are read faster from huge pages. Has an effect on Linux only.
///
/// The allocator mimalloc requests huge pages for all of its memory. The buffers of a connection
/// are larger than what they usually contain, and in a huge page their unused parts take memory
/// too. Also, the allocator returns free memory to the system, and hours later the system can
/// replace a sparsely used range by a huge page (`khugepaged`): resident memory grows then, without
/// any allocation.
pub fn disable_huge_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages remain enabled");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_are_disabled() {
        disable_huge_pages();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().unwrap());
    }
}
