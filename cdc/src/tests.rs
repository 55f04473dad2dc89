mod cursor;
mod message;
