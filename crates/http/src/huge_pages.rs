/// Disables huge pages of memory in this process, for a service with many connections. Has an
/// effect on Linux only.
///
/// The buffers of a connection are larger than what they usually contain. Their unused parts take
/// no memory, except in huge pages, which the allocator mimalloc requests for all of its memory.
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
