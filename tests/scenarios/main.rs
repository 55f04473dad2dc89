//! Everything that looks at more than one room.

mod captures;
mod tidy;
mod violations;
