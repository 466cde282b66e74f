//! Compiles proto/ with protox (pure Rust: no protoc on the machine) to messages, client and server, and keeps the descriptors for
//! gRPC reflection.

use std::path::PathBuf;

const PROTOS: [&str; 5] = ["hash", "verdict", "match_service", "hash_list", "hash_list_service"];
const SECRET: [&str; 6] = ["Hash", "HashRequest", "MatchItem", "ImportEntriesRequest", "EntryDetails", "EntryField"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build.rs");
    let files = PROTOS.map(|name| format!("hashwarden/v1/{name}.proto"));
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(files)?;
    // Comments included: reflection then tells a foreign client what the fields mean.
    let descriptors = PathBuf::from(std::env::var("OUT_DIR")?).join("hashwarden.bin");
    std::fs::write(descriptors, compiler.encode_file_descriptor_set())?;
    let mut config = tonic_prost_build::Config::new();
    // A hash or a picture must not reach a log line by way of Debug: src/proto.rs has a Debug that shows nothing.
    config.skip_debug(SECRET.map(|message| format!(".hashwarden.v1.{message}")));
    // An entry without details takes no more memory for them.
    config.boxed(".hashwarden.v1.NewEntry.details");
    config.enable_type_names();
    let services = tonic_prost_build::configure().codec_path("crate::proto::Codec");
    services.compile_fds_with_config(compiler.file_descriptor_set(), config)?;
    Ok(())
}
