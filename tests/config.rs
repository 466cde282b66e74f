//! Does the configuration say what it means, refuse what it must, and does deploy/hashwarden.toml tell the truth about it?

use hashwarden::config::{Config, LogFormat};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

fn annotated() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/hashwarden.toml"))
        .expect("deploy/hashwarden.toml is there")
}

fn environment(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

#[test]
fn the_annotated_file_is_the_defaults() {
    let read = Config::read(Some(("hashwarden.toml", &annotated())), HashMap::new()).expect("the annotated file is sound");
    assert_eq!(read, Config::default());
}

#[test]
fn the_annotated_file_has_every_key_and_no_other() {
    let (mut section, mut found) = (String::new(), BTreeSet::new());
    for line in annotated().lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((key, _)) = line.split_once(" = ") {
            assert!(found.insert(format!("{section}.{key}")), "{section}.{key} stands twice");
        }
    }
    assert_eq!(found, Config::keys().expect("keys").into_iter().collect::<BTreeSet<_>>());
}

#[test]
fn every_key_of_the_annotated_file_says_why_it_is_so() {
    let text = annotated();
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2).filter(|pair| pair[1].contains(" = ") && !pair[1].starts_with('#')) {
        // Keys of one meaning may share the words above the first.
        assert!(pair[0].starts_with('#') || pair[0].contains(" = "), "no reason is given above: {}", pair[1]);
    }
}

fn deployed(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)).expect("the file is there")
}

#[test]
fn what_deploy_sets_by_environment_is_sound() {
    for file in ["Dockerfile", "hashwarden.service"] {
        let set: HashMap<String, String> = deployed(file)
            .split(|c: char| c.is_whitespace())
            .filter_map(|word| {
                word.trim_start_matches("Environment=").split_once('=').filter(|(name, _)| name.starts_with("HASHWARDEN__"))
            })
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        assert!(set.len() >= 2, "{file} sets {}", set.len());
        if let Err(e) = Config::read(None, set) {
            panic!("{file}: {e}");
        }
    }
}

#[test]
fn the_unit_waits_longer_than_the_drain() {
    let unit = deployed("hashwarden.service");
    let line = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).expect("TimeoutStopSec is set");
    assert!(line.parse::<u64>().expect("seconds") >= Config::default().grpc.drain_s + 5, "{line}");
}

#[test]
fn without_a_file_the_defaults_hold() {
    assert_eq!(Config::read(None, HashMap::new()).expect("defaults are sound"), Config::default());
}

#[test]
fn a_file_changes_what_it_names_and_nothing_else() {
    let read = Config::read(Some(("f", "[grpc]\nlisten = \"[::]:7\"\n[log]\nformat = \"json\"")), HashMap::new()).expect("sound");
    let mut expected = Config::default();
    expected.grpc.listen = "[::]:7".parse().expect("an address");
    expected.log.format = LogFormat::Json;
    assert_eq!(read, expected);
}

#[test]
fn the_environment_wins_over_the_file() {
    let pairs = [
        ("HASHWARDEN__GRPC__DRAIN_S", "7"),
        ("HASHWARDEN__STORE__DIR", "/var/lib/hashwarden"),
        ("HASHWARDEN__INDEX__PDQ", "linear"),
        ("HASHWARDEN__LOG__FORMAT", "json"),
        // Neither is ours to read here.
        ("HASHWARDEN_SHARED", "/somewhere"),
        ("PATH", "/bin"),
    ];
    let read = Config::read(Some(("f", "[grpc]\ndrain_s = 5\nitems_in_flight_max = 3")), environment(&pairs)).expect("sound");
    assert_eq!((read.grpc.drain_s, read.grpc.items_in_flight_max), (7, 3));
    assert_eq!(read.store.dir, Path::new("/var/lib/hashwarden"));
    assert_eq!((read.index.pdq.name(), read.log.format), ("linear", LogFormat::Json));
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    let check = |text: &str, expected: &[&str]| {
        let said = Config::read(Some(("given.toml", text)), HashMap::new()).expect_err(text).to_string();
        for part in expected {
            assert!(said.contains(part), "{text:?}\n  expected {part:?} in {said:?}");
        }
    };
    check("[views]\ndefault = \"none\"", &["[views] default must be one of whole, all, not \"none\""]);
    check("[grpc]\nlissten = \"x\"", &["unknown key [grpc] lissten", "given.toml; did you mean listen?"]);
    check("[gprc]\nlisten = \"x\"", &["unknown section [gprc]", "did you mean grpc?"]);
    check("listen = \"x\"", &["unknown section [listen] (given.toml; listen is a key of [grpc] and [operator])"]);
    check("grpc = 5", &["unknown section [grpc]"]);
    check("[GRPC]\ndrain_s = 5", &["unknown section [GRPC]"]);
    check("[grpc.listen]\nhost = \"x\"", &["[grpc] listen must be text"]);
    check("[grpc]\nlisten = \"localhost\"", &["[grpc] listen must be an address with a port such as 127.0.0.1:50051"]);
    check("[grpc]\nlisten = \"127.0.0.1:99999\"", &["[grpc] listen"]);
    check("[operator]\nlisten = \"127.0.0.1:50051\"", &["[operator] listen must differ from [grpc] listen"]);
    check("[grpc]\nimage_bytes_max = \"33554432\"", &["[grpc] image_bytes_max must be a whole number"]);
    check("[grpc]\nimage_bytes_max = -1", &["[grpc] image_bytes_max must be a whole number, 0 or more"]);
    check("[grpc]\nimage_bytes_max = 1.5", &["[grpc] image_bytes_max must be a whole number"]);
    check("[grpc]\nimage_bytes_max = 10", &["[grpc] image_bytes_max must be between 1024 and 1073741824"]);
    check("[grpc]\nitems_in_flight_max = 5000000000", &["[grpc] items_in_flight_max is too large"]);
    // The parser of numbers alone had the word, and named neither file line nor key.
    let large = "[grpc] drain_s must be a whole number between 0 and 9223372036854775807 (given.toml, line 4)";
    check("# The whole\n[grpc]\nlisten = \"127.0.0.1:1\"\ndrain_s = 99999999999999999999\n", &[large]);
    check("[grpc]\n\n\ndrain_s = 9223372036854775808\nrequest_ms_max = 9223372036854775809", &[large]);
    check("[grpc]\n\n\ndrain_s = 0xffff_ffff_ffff_ffff_f", &[large]);
    check("grpc.drain_s = -99999999999999999999", &["[grpc] drain_s must be a whole number between", "given.toml, line 1"]);
    check("\ndrain_s = 99999999999999999999", &["given.toml, line 2", "drain_s must be a whole number between"]);
    check("[grpc]\nitems_in_flight_max = 0", &["[grpc] items_in_flight_max must be between 1 and"]);
    check("[grpc]\nrequest_ms_max = 0", &["[grpc] request_ms_max must be between 10 and"]);
    check("[grpc]\ndrain_s = true", &["[grpc] drain_s must be a whole number"]);
    check("[extract]\npixels_max = 0", &["[extract] pixels_max"]);
    check("[extract]\nthreads = 5000", &["[extract] threads"]);
    check("[extract]\nqueue_bytes_max = 1024", &["[extract] queue_bytes_max must be between 33554432"]);
    check("[extract]\nframe_pixels_max = 1024", &["[extract] frame_pixels_max must be between 100000000"]);
    check("[index]\npdq = \"bktree\"", &["[index] pdq must be one of auto, bk-tree, multi-index, linear"]);
    check("[index]\npdq = true", &["[index] pdq must be text"]);
    check("[store]\ndir = \"\"", &["[store] dir must name a directory"]);
    check("[store]\ndir = 5", &["[store] dir must be text"]);
    check("[import]\ncheck = 1", &["[import] check must be true or false"]);
    check("[import]\ncheck = \"on\"", &["[import] check must be true or false"]);
    check("[log]\nformat = \"xml\"", &["[log] format must be \"text\" or \"json\", not \"xml\""]);
    check("[log]\nlevel = \"loud=very\"", &["[log] level must be off, error"]);
    check("[log]\nlevel = \"\"", &["[log] level"]);
    // To the filter each is the name of a module, of which it then logs everything, and of all others nothing.
    check("[log]\nlevel = \"inof\"", &["[log] level must be off, error", "not \"inof\""]);
    check("[log]\nlevel = \"info,hashwarden\"", &["not \"hashwarden\""]);
    check("[log]\nlevel = \"info,hashwarden=debgu\"", &["not \"hashwarden=debgu\""]);
    // With no place to wait nothing is ever worked on.
    check("[extract]\nqueue_max = 0", &["[extract] queue_max must be between 1 and 1000000, not 0"]);
    check("[import]\nchange_percent_max = 1001", &["[import] change_percent_max must be between 0 and 1000, not 1001"]);
    // A list in the place of the configuration: nothing of it is repeated.
    check("00112233445566778899aabbccddeeff,1\n", &["given.toml is not TOML: TOML parse error at line 1"]);
    let said =
        Config::read(Some(("f", "id;pdq\n1;f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22\n")), HashMap::new());
    assert!(!said.expect_err("no TOML").to_string().contains("f8f8"));
    check("[grpc\n", &["given.toml is not TOML", "line 1"]);
}

#[test]
fn every_level_that_the_filter_knows_is_taken() {
    for level in
        ["off", "INFO", "info,hashwarden=debug", "warn,hashwarden::store=trace", "info,hashwarden[grpc{method=Match}]=debug"]
    {
        let text = format!("[log]\nlevel = \"{level}\"");
        assert_eq!(Config::read(Some(("f", &text)), HashMap::new()).expect("sound").log.level, level);
    }
}

#[test]
fn a_wrong_environment_variable_is_refused_by_its_own_name() {
    let check = |name: &str, value: &str, expected: &[&str]| {
        let said = Config::read(None, environment(&[(name, value)])).expect_err(name).to_string();
        for part in expected {
            assert!(said.contains(part), "{name}={value}\n  expected {part:?} in {said:?}");
        }
    };
    check("HASHWARDEN__GRPC__LISSTEN", "x", &["unknown key [grpc] lissten", "HASHWARDEN__GRPC__LISSTEN"]);
    check("HASHWARDEN__GPRC__LISTEN", "x", &["unknown section [gprc]"]);
    check("HASHWARDEN__GRPC", "x", &["unknown section [grpc]"]);
    check("HASHWARDEN__GRPC__LISTEN", "50051", &["[grpc] listen must be an address", "HASHWARDEN__GRPC__LISTEN"]);
    check("HASHWARDEN__GRPC__DRAIN_S", "20s", &["[grpc] drain_s must be a whole number", "HASHWARDEN__GRPC__DRAIN_S"]);
    check("HASHWARDEN__GRPC__DRAIN_S", "", &["[grpc] drain_s must be a whole number"]);
    check("HASHWARDEN__IMPORT__CHECK", "off", &["[import] check must be true or false", "HASHWARDEN__IMPORT__CHECK"]);
    let large = ["[grpc] drain_s must be a whole number between 0 and 9223372036854775807", "HASHWARDEN__GRPC__DRAIN_S"];
    check("HASHWARDEN__GRPC__DRAIN_S", "99999999999999999999", &large);
    check("HASHWARDEN__GRPC__DRAIN_S__X", "5", &["[grpc] drain_s must be a whole number"]);
}

/// Limits that had no key, or whose key was not passed on: whoever was kept out by one could not find it.
#[test]
fn every_number_that_is_set_is_the_one_that_holds() {
    let values = |config: &Config| serde_json::to_value(config).expect("plain values");
    let defaults = values(&Config::default());
    for key in Config::keys().expect("keys") {
        let (section, key) = key.split_once('.').expect("a section and a key");
        let Some(default) = defaults[section][key].as_u64() else { continue };
        let read = |number: u64| {
            let variable = format!("HASHWARDEN__{}__{}", section.to_uppercase(), key.to_uppercase());
            let by_environment = Config::read(None, environment(&[(&variable, &number.to_string())])).ok()?;
            let by_file = Config::read(Some(("f", &format!("[{section}]\n{key} = {number}"))), HashMap::new()).expect("sound");
            assert_eq!(by_environment, by_file);
            Some((by_file, number))
        };
        // One of its neighbours is in its range.
        let (config, number) = read(default + 1).or_else(|| read(default - 1)).expect(key);
        let mut expected = defaults.clone();
        expected[section][key] = number.into();
        assert_eq!(values(&config), expected, "[{section}] {key}");
    }
}

#[test]
fn limits_that_several_rooms_keep_reach_each() {
    let set = "[grpc]\nimage_bytes_max = 2000\nhashes_per_item_max = 11\n[operator]\nstuck_ms = 120\nmetrics_max = 13\n[store]\n\
        version_days_max = 14\n[extract]\nthreads = 3\nqueue_max = 15\n[search]\nthreads = 4\n[views]\nturned_max = 16\n[snapshot]\n\
        candidates_max = 17\n[import]\nchange_percent_max = 18\n[index]\ndhash64 = \"linear\"";
    let config = Config::read(Some(("f", set)), HashMap::new()).expect("sound");
    assert_eq!(
        (config.limits().image_bytes_max, config.grpc.hashes_per_item_max, config.operator.port.metrics_max),
        (2000, 11, 13)
    );
    let matcher = config.matcher();
    assert_eq!((matcher.watch.stuck_ms, matcher.extract.queue_max, matcher.views.limits.turned_max), (120, 15, 16));
    assert_eq!((matcher.extract.threads, matcher.search.threads), (3, 4));
    let catalog = config.catalog();
    assert_eq!((catalog.keep.version_days_max, catalog.limits.candidates_max), (14, 17));
    assert_eq!((catalog.imports.change_percent_max, catalog.choices.dhash64.name()), (18, "linear"));
}

#[test]
fn pictures_are_decoded_under_the_limits_that_were_set() {
    let set = "[grpc]\nimage_bytes_max = 2000\n[extract]\npixels_max = 1\nside_max = 2\nframes_max = 3\nframe_pixels_max = 4\n\
        alloc_bytes_max = 5000000\njpeg_scans_max = 6\njpeg_scan_pixels_max = 7";
    let limits = Config::read(Some(("f", set)), HashMap::new()).expect("sound").limits();
    assert_eq!((limits.image_bytes_max, limits.pixels_max, limits.side_max, limits.frames_max), (2000, 1, 2, 3));
    assert_eq!((limits.frame_pixels_max, limits.alloc_bytes_max), (4, 5_000_000));
    assert_eq!((limits.jpeg_scans_max, limits.jpeg_scan_pixels_max), (6, 7));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = Config::load(Some(&folder.path().join("absent.toml"))).expect_err("absent").to_string();
    assert!(said.contains("absent.toml"), "{said}");
    let long = folder.path().join("long.toml");
    std::fs::write(&long, vec![b'#'; 1024 * 1024 + 1]).expect("written");
    assert!(Config::load(Some(&long)).expect_err("long").to_string().contains("more than"));
    let sound = folder.path().join("sound.toml");
    std::fs::write(&sound, "[grpc]\ndrain_s = 3\n").expect("written");
    assert_eq!(Config::load(Some(&sound)).expect("sound").grpc.drain_s, 3);
}

/// No alert waits for a metric that is not there.
#[test]
fn alerts_name_metrics_that_exist() {
    use hashwarden::telemetry::METRICS;
    let read = |file: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let alerts = read("deploy/alerts.yml");
    let named = alerts.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("hashwarden_"));
    let unknown: Vec<_> = named.filter(|name| METRICS.iter().all(|metric| metric.1 != *name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
