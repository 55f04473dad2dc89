mod close;
mod cursor;
mod flow;
mod message;
mod urgent;
