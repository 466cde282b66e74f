//! Lists that are fetched from their owners: what comes of pages that are right and of servers that are not, what is kept, and what nobody may reach.

#![allow(clippy::unwrap_used)]

#[path = "feeds/ask.rs"]
mod ask;
#[allow(dead_code)] // other tests have more of them made
mod certificates;
#[path = "feeds/feedback.rs"]
mod feedback;
#[path = "feeds/files.rs"]
mod files;
#[path = "feeds/pages.rs"]
mod pages;
#[path = "feeds/safety.rs"]
mod safety;
#[path = "feeds/secured.rs"]
mod secured;
#[path = "feeds/server.rs"]
mod server;
#[path = "feeds/serving.rs"]
mod serving;
#[path = "feeds/together.rs"]
mod together;
