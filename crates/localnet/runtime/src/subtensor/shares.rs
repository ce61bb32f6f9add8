//! Shares in the alpha of a hotkey.
