//! Names of what a stack holds. Each carries a generation: one that outlived
//! its object is an error, never somebody else's.

slotmap::new_key_type! {
    /// A connection.
    pub struct SocketHandle;

    /// A listener.
    pub struct ListenerHandle;
}
