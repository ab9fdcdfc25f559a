//! Configurations of proxies, as people write them.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::{super::Severity, *};

struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().expect("a directory");
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            fs::write(path, text).expect("written");
        }
        Self(directory)
    }

    /// What is found: the check, how bad it is, and where.
    fn look(&self, name: &str) -> Vec<(&'static str, Severity, String)> {
        let mut report = Report::default();
        examine(&[self.0.path().join(name)], &mut report);
        let root = self.0.path().display().to_string();
        let found = report.findings().iter();
        found.map(|finding| (finding.check, finding.severity, finding.what.replace(&format!("{root}/"), ""))).collect()
    }

    fn severities(&self, name: &str) -> Vec<Severity> {
        self.look(name).into_iter().map(|(_, severity, _)| severity).collect()
    }
}

const SITE: &str = "server {\n  server_name m.example;\n  LOG\n  location / { proxy_pass http://127.0.0.1:8008; }\n}\n";
const NGINX: &str =
    "user www; # access_log off;\nhttp {\n  access_log /var/log/nginx/access.log;\n  include sites/*.conf;\n}\n";

#[test]
fn nginx_logs_unless_the_nearest_word_says_off() {
    let site = |log: &str| SITE.replace("LOG", log);
    let files = Files::new(&[("nginx.conf", NGINX), ("sites/m.conf", &site("")), ("sites/x.txt", "access_log y;")]);
    let found = files.look("nginx.conf");
    assert_eq!(found[0].1, Severity::Error);
    assert!(found[0].2.contains("nginx.conf:3: access_log /var/log/nginx/access.log"), "{}", found[0].2);
    assert_eq!(found[1].0, "proxy.error-log");

    let off = site("access_log off; error_log /dev/null crit;");
    let files = Files::new(&[("nginx.conf", NGINX), ("sites/m.conf", &off)]);
    assert_eq!(files.severities("nginx.conf"), [Severity::Fine]);

    let both = format!("{off}{}", site("access_log \"/x y\" main; error_log /e crit;"));
    let files = Files::new(&[("nginx.conf", NGINX), ("sites/m.conf", &both)]);
    assert!(files.look("nginx.conf")[0].2.contains("sites/m.conf:8: access_log /x y main"));

    let files = Files::new(&[("nginx.conf", &site("error_log stderr emerg;"))]);
    assert!(files.look("nginx.conf")[0].2.contains("nothing in nginx.conf says otherwise"));
}

#[test]
fn nginx_that_includes_itself_is_read_all_the_same() {
    let files =
        Files::new(&[("nginx.conf", "include nginx.conf;\naccess_log off;\nlocation / { proxy_pass http://x; }")]);
    assert!(files.severities("nginx.conf").contains(&Severity::Fine));
}

#[test]
fn what_stands_in_itself_ends() {
    let deep = "a {".repeat(100_000);
    let _ = Files::new(&[("nginx.conf", &deep)]).severities("nginx.conf");
    let _ = Files::new(&[("Caddyfile", "import Caddyfile\nimport Caddyfile\n")]).severities("Caddyfile");
}

#[test]
fn caddy_logs_where_a_site_says_so() {
    let quiet = "{\n\tlog default {\n\t\texclude http.log.access http.log.error\n\t}\n}\nm.example {\n\treverse_proxy x:1\n\t# log\n}\n";
    assert_eq!(Files::new(&[("Caddyfile", quiet)]).severities("Caddyfile"), [Severity::Fine]);
    let loud = format!("{quiet}import more/*\n");
    let files = Files::new(&[("Caddyfile", &loud), ("more/a", "(logging) {\n\tlog {\n\t\toutput stdout\n\t}\n}\n")]);
    let found = files.look("Caddyfile");
    assert_eq!(found.len(), 1);
    assert!(found[0].1 == Severity::Error && found[0].2.contains("more/a:2: log {"), "{}", found[0].2);
    let errors = Files::new(&[("Caddyfile", "m.example {\n\treverse_proxy x:1\n}\n")]).look("Caddyfile");
    assert_eq!(errors[0].0, "proxy.error-log");
}

#[test]
fn the_shipped_caddyfile_is_quiet() {
    let mut report = Report::default();
    examine(&[PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docker/Caddyfile")], &mut report);
    assert_eq!(report.worst(), Severity::Fine, "{report}");
}

#[test]
fn other_proxies_are_told_by_their_lines() {
    let apache = "LogLevel crit\nIncludeOptional sites/*.conf\n# CustomLog x\n";
    let site = "<VirtualHost *:443>\n  ProxyPass / http://x/\n  CustomLog /l combined\n</VirtualHost>\n";
    let files = Files::new(&[("apache2.conf", apache), ("sites/m.conf", site)]);
    assert_eq!(files.severities("apache2.conf"), [Severity::Error]);
    let silent = site.replace("/l ", "/dev/null ");
    let files = Files::new(&[("apache2.conf", apache), ("sites/m.conf", &silent)]);
    assert_eq!(files.severities("apache2.conf"), [Severity::Fine]);

    let haproxy = "defaults\n  LINE\nfrontend f\n  bind :443\n  default_backend b\nbackend b\n  server s x:1\n";
    for (line, severity) in [("log global", Severity::Error), ("mode http", Severity::Fine)] {
        let files = Files::new(&[("haproxy.cfg", &haproxy.replace("LINE", line))]);
        assert_eq!(files.severities("haproxy.cfg"), [severity], "{line}");
    }
    for (text, severity) in [
        ("entryPoints:\n  web: {}\naccessLog: {}\n", Severity::Error),
        ("[accessLog]\n", Severity::Error),
        ("entryPoints:\n  web: {}\n", Severity::Fine),
    ] {
        assert_eq!(Files::new(&[("traefik.x", text)]).severities("traefik.x"), [severity], "{text}");
    }
}

#[test]
fn what_cannot_be_told_is_said() {
    let files = Files::new(&[("proxy.toml", "x = 1\n")]);
    assert_eq!(files.severities("proxy.toml"), [Severity::Advice]);
    assert_eq!(files.severities("absent"), [Severity::Warning]);
}

#[test]
fn stars_stand_for_anything() {
    for (pattern, name, fits) in [
        ("*", "a", true),
        ("*.conf", "a.conf", true),
        ("*.conf", "a.txt", false),
        ("a*b*c", "axbyc", true),
        ("a*a", "a", false),
    ] {
        assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
    }
}
