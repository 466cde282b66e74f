//! Writes the seeds into the folder that the first argument which is no option names: the corpus, which libFuzzer reads next.

pub fn write(seeds: Vec<Vec<u8>>) {
    let Some(folder) = std::env::args().skip(1).find(|argument| !argument.starts_with('-')) else { return };
    for (n, seed) in seeds.into_iter().enumerate() {
        let path = std::path::Path::new(&folder).join(format!("seed-{n}"));
        std::fs::write(&path, seed).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}
