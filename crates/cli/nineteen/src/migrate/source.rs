//! Address of the reference's database: its environment file, or a URL.

use std::collections::BTreeMap;
use std::path::Path;

use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::settings;
use url::Url;
use zeroize::Zeroizing;

use super::super::database::is_postgres_url;

/// Host and port of the database in the reference's containers.
const DEFAULT_HOST: &str = "postgresql";
const DEFAULT_PORT: u16 = 5432;
/// Parameters of a URL that name its host.
const HOST_PARAMETERS: [&str; 3] = ["host", "hostaddr", "port"];

/// Returns the URL of the database that `from` names, at another host if `host` is given.
pub(super) fn database_url(from: &str, host: Option<&str>) -> anyhow::Result<Zeroizing<String>> {
    let mut url = if is_postgres_url(from) {
        // The error must not have the text, which can contain a password.
        Url::parse(from)
            .map_err(|_| malformed_option("--from", "postgres://USER:PASSWORD@HOST/DATABASE"))?
    } else {
        Variables { file: from, values: settings::read_file(Path::new(from))? }.url()?
    };
    if let Some(host) = host {
        set_address(&mut url, host)
            .ok_or_else(|| malformed_option("--from-host", "HOST or HOST:PORT"))?;
    }
    Ok(Zeroizing::new(url.into()))
}

fn malformed_option(option: &str, expected: &str) -> anyhow::Error {
    ClassifiedError::usage(format!("malformed {option}, expected {expected}"))
}

/// Variables of the reference's environment file.
struct Variables<'a> {
    file: &'a str,
    values: BTreeMap<String, String>,
}

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn required(&self, name: &str) -> anyhow::Result<&str> {
        self.get(name).ok_or_else(|| {
            let file = self.file;
            let message = format!(
                "{file} does not set {name}\nhint: --from is the reference's .vali.env, or \
                 postgres://USER:PASSWORD@HOST/DATABASE"
            );
            ClassifiedError::usage(message)
        })
    }

    fn invalid_variable(&self, name: &str) -> anyhow::Error {
        ClassifiedError::usage(format!("{}: {name} is invalid", self.file))
    }

    /// Returns the URL of the database.
    fn url(&self) -> anyhow::Result<Url> {
        let host = if self.get("LOCALHOST") == Some("true") {
            "localhost"
        } else {
            self.get("POSTGRES_HOST").unwrap_or(DEFAULT_HOST)
        };
        let mut url =
            Url::parse("postgres://host/").map_err(|_| self.invalid_variable("POSTGRES_HOST"))?;
        let user = url.set_username(percent_encode(self.required("POSTGRES_USER")?).as_str());
        user.map_err(|()| self.invalid_variable("POSTGRES_USER"))?;
        let password =
            url.set_password(Some(percent_encode(self.required("POSTGRES_PASSWORD")?).as_str()));
        password.map_err(|()| self.invalid_variable("POSTGRES_PASSWORD"))?;
        url.set_path(percent_encode(self.required("POSTGRES_DB")?).as_str());
        set_address(&mut url, host).ok_or_else(|| self.invalid_variable("POSTGRES_HOST"))?;
        let port = match self.get("POSTGRES_PORT") {
            Some(port) => {
                port.parse::<u16>().map_err(|_| self.invalid_variable("POSTGRES_PORT"))?
            }
            None => DEFAULT_PORT,
        };
        url.set_port(Some(port)).map_err(|()| self.invalid_variable("POSTGRES_PORT"))?;
        Ok(url)
    }
}

/// Escapes percent signs, which the setters of URLs take for escapes.
fn percent_encode(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.replace('%', "%25"))
}

/// Sets host and port of a URL; returns `None` if they are malformed.
fn set_address(url: &mut Url, address: &str) -> Option<()> {
    let other_parameters: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| !HOST_PARAMETERS.contains(&&**name))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.set_query(None);
    if !other_parameters.is_empty() {
        url.query_pairs_mut().extend_pairs(other_parameters);
    }
    if address.starts_with('/') {
        url.query_pairs_mut().append_pair("host", address);
        return Some(());
    }
    // An IPv6 address is in brackets.
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !address.ends_with(']') => (host, Some(port.parse::<u16>().ok()?)),
        _ => (address, url.port()),
    };
    url.set_host(Some(host)).ok()?;
    url.set_port(port).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_file(text: &str, host: Option<&str>) -> anyhow::Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vali.env");
        std::fs::write(&file, text).unwrap();
        Ok(database_url(file.to_str().unwrap(), host)?.to_string())
    }

    #[test]
    fn reference_variables_form_the_database_url() {
        let login = "POSTGRES_USER=user\nPOSTGRES_PASSWORD=p@ss/%41\nPOSTGRES_DB=19_db\n";
        let database = "postgres://user:p%40ss%2F%2541@";
        for (more, host, expected) in [
            ("", None, "postgresql:5432/19_db"),
            ("POSTGRES_HOST=db\nPOSTGRES_PORT=6000\n", None, "db:6000/19_db"),
            ("LOCALHOST=true\n", None, "localhost:5432/19_db"),
            ("LOCALHOST=false\n", Some("172.18.0.3"), "172.18.0.3:5432/19_db"),
            ("", Some("db.example:6000"), "db.example:6000/19_db"),
            ("", Some("[fd00::3]"), "[fd00::3]:5432/19_db"),
            ("", Some("[fd00::3]:6000"), "[fd00::3]:6000/19_db"),
            ("POSTGRES_HOST=/run/postgresql\n", None, "host:5432/19_db?host=%2Frun%2Fpostgresql"),
            ("POSTGRES_HOST=/run/postgresql\n", Some("db"), "db:5432/19_db"),
        ] {
            let actual = of_file(&format!("{login}{more}"), host).unwrap();
            assert_eq!(actual, format!("{database}{expected}"), "{more:?} {host:?}");
        }
        let original = "postgres://u:p@host/d?sslmode=disable&host=/tmp";
        assert_eq!(*database_url(original, None).unwrap(), original);
        let moved = database_url(original, Some("db:1")).unwrap();
        assert_eq!(*moved, "postgres://u:p@db:1/d?sslmode=disable");
    }

    #[test]
    fn address_errors_omit_the_password() {
        let login = "POSTGRES_USER=user\nPOSTGRES_PASSWORD=hunter2\nPOSTGRES_DB=19_db\n";
        let [port, name] = ["PORT=x", "HOST=a b"].map(|line| format!("{login}POSTGRES_{line}\n"));
        for (text, host, expected) in [
            ("POSTGRES_USER=user\nPOSTGRES_DB=19_db\n", None, "does not set POSTGRES_PASSWORD"),
            (port.as_str(), None, "POSTGRES_PORT is invalid"),
            (name.as_str(), None, "POSTGRES_HOST is invalid"),
            (login, Some("db:x"), "malformed --from-host, expected HOST or HOST:PORT"),
            (login, Some("::1"), "malformed --from-host"),
            ("hunter2", None, "line 1: expected NAME=VALUE"),
        ] {
            let error = of_file(text, host).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
        let error = database_url("postgres://u:hunter2@ho st/d", None).unwrap_err().to_string();
        assert!(error.contains("malformed --from") && !error.contains("hunter2"), "{error}");
    }
}
