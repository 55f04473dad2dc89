mod conformance;
mod host;
mod rogues;
mod sleeping;
mod threads;
