//! Environment → [`Config`]. Every limit has its unit in its name; all bad values are reported at once, a line each.

pub mod environment;
mod fields;
mod mail;
pub mod variables;

use std::collections::HashMap;

use fields::default_per_address;
pub use fields::{Config, LogFormat, connections_needed, hashing_threads};
use variables::VARIABLES;

impl Config {
    /// Reads a set of variables, such as those of the environment. An empty value counts as unset, and an unknown name is ignored.
    ///
    /// # Errors
    /// Every bad value, a line each.
    ///
    /// ```
    /// let variables = [("PORT", "80800"), ("LOG_FORMAT", "xml")].map(|(name, value)| (name.to_string(), value.to_string()));
    /// let problems = healthcare_backend::Config::from_variables(&variables.into()).unwrap_err();
    /// assert_eq!(problems, ["PORT must be a whole number from 0 to 65535", "LOG_FORMAT must be text or json"]);
    /// ```
    pub fn from_variables(variables: &HashMap<String, String>) -> Result<Config, Vec<String>> {
        let mut config = Config::default();
        let mut problems = Vec::new();
        let value_of = |name: &str| variables.get(name).filter(|value| !value.trim().is_empty());
        for variable in VARIABLES {
            let Some(value) = value_of(variable.name) else { continue };
            if let Err(rule) = variable.read(&mut config, value) {
                problems.push(format!("{} {rule}", variable.name));
            }
        }
        if value_of("MAX_CONNECTIONS_PER_ADDRESS").is_none() {
            config.max_connections_per_address = default_per_address(config.max_connections);
        }
        // A field whose value could not be read keeps its default, which breaks no rule, so it is not reported twice.
        match config.checked() {
            Ok(config) if problems.is_empty() => Ok(config),
            Ok(_) => Err(problems),
            Err(more) => Err([problems, more].concat()),
        }
    }

    /// The same configuration, if every field keeps its rule. A pool that is too small for the workers is made large enough.
    ///
    /// # Errors
    /// Every field that breaks its rule, one line each, by the name of its variable.
    pub fn checked(mut self) -> Result<Config, Vec<String>> {
        let mut problems: Vec<String> = Vec::new();
        for variable in VARIABLES {
            if let Err(rule) = variable.check(&mut self) {
                problems.push(format!("{} {rule}", variable.name));
            }
        }
        if self.bcrypt_cost < 10 && !self.allow_weak_hashing && self.bcrypt_cost >= 4 {
            problems.push("BCRYPT_COST must be 10 or more (tests may go down to 4 with ALLOW_WEAK_HASHING=1)".into());
        }
        if self.database_url.is_some() && self.jwt_secret.is_none() {
            problems.push(
                "JWT_SECRET is required with DATABASE_URL: set it to what `openssl rand -hex 32` prints, on every node the same"
                    .into(),
            );
        }
        problems.extend(mail::is_whole(&self).err());
        // All bodies together have half of it, and one body may not use that up.
        if self.max_body_bytes > self.max_memory_bytes / 4 {
            problems.push("MAX_MEMORY_BYTES must be at least four times MAX_BODY_BYTES".into());
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        self.database_pool = self.database_pool.max(connections_needed(self.workers));
        Ok(self)
    }

    /// The effective configuration for the start line: one line, secrets masked.
    pub fn summary(&self) -> String {
        format!(
            "database={} workers={} waiting_threads={} hashing_threads={} database_pool={} max_body_bytes={} max_connections={} \
             max_connections_per_address={} bcrypt_cost={} jwt_ttl_seconds={} jwt_secret=*** cors_origins={} trusted_proxies={} \
             audit_reads={}",
            if self.database_url.is_some() { "DATABASE_URL" } else { "private" },
            self.workers,
            self.waiting_threads(),
            hashing_threads(),
            self.database_pool,
            self.max_body_bytes,
            self.max_connections,
            self.max_connections_per_address,
            self.bcrypt_cost,
            self.jwt_ttl_seconds,
            self.cors_origins.len(),
            self.trusted_proxies.len(),
            self.audit_reads,
        )
    }
}
