//! Signed HTTP between neurons: schemes, verification, client, server layer.
