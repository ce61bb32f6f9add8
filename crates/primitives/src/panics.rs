use std::any::Any;

/// Returns the message of a caught panic; `None` if it is not a text.
///
/// ```
/// let panic = std::panic::catch_unwind(|| panic!("row {}", 3)).unwrap_err();
/// assert_eq!(taonet_primitives::panic_message(&*panic), Some("row 3"));
/// ```
pub fn panic_message(panic: &(dyn Any + Send)) -> Option<&str> {
    let formatted = panic.downcast_ref::<String>().map(String::as_str);
    formatted.or_else(|| panic.downcast_ref::<&str>().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_payload_texts_are_messages() {
        assert_eq!(panic_message(&"no shape"), Some("no shape"));
        assert_eq!(panic_message(&"shape 3".to_owned()), Some("shape 3"));
        assert_eq!(panic_message(&3), None);
    }
}
