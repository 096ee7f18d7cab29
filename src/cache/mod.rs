//! The cache: keys, stored responses, what may be stored, what may be served, and the flights that fetch.

pub mod decide;
pub mod flight;
pub mod gate;
pub mod items;
pub mod key;
pub mod render;
mod scan;
pub mod store;
pub mod stored;
