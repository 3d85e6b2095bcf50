//! Kubeconfigs as kubectl reads them: which files, how they are merged, and what is in them.

use std::{
    env, fs,
    path::{Path, PathBuf, absolute},
};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The fields of a context, a cluster or a user.
pub type Fields = Map<String, Value>;

/// What is wrong with a kubeconfig: one sentence that names the field.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    /// With these words.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

/// About a field, which `words` begin with.
pub(crate) fn wrong(words: &str) -> ConfigError {
    ConfigError(format!("the kubeconfig's {words}"))
}

/// A context, a cluster or a user with its name.
#[derive(Clone)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// What it has; a field that is null is left out.
    pub fields: Fields,
}

/// Kubeconfigs, merged, with all paths in them absolute.
#[derive(Clone, Default)]
pub struct Kubeconfig {
    /// The name of the current context.
    pub current_context: Option<String>,
    /// All contexts.
    pub contexts: Vec<Named>,
    /// All clusters.
    pub clusters: Vec<Named>,
    /// All users.
    pub users: Vec<Named>,
    /// `preferences`, which are of kubectl's own.
    pub preferences: Option<Value>,
}

/// A context with what it refers to.
#[derive(Clone)]
pub struct Chosen {
    /// The context.
    pub context: Named,
    /// Its cluster.
    pub cluster: Named,
    /// Its user, if it names one that is there.
    pub user: Option<Named>,
}

impl Kubeconfig {
    /// `file`; without one the files that `KUBECONFIG` lists, of which some may be missing, or
    /// `~/.kube/config`. Where none is there, it is empty.
    ///
    /// # Errors
    ///
    /// For a file that can't be read or is no kubeconfig.
    pub fn read(file: Option<&Path>) -> Result<Self, ConfigError> {
        if let Some(file) = file {
            return Self::read_file(file);
        }
        let mut merged = Self::default();
        for file in usual_files() {
            if file.exists() {
                merged.merge(Self::read_file(&file)?);
            }
        }
        Ok(merged)
    }

    fn read_file(file: &Path) -> Result<Self, ConfigError> {
        let name = file.display();
        let wrong = |words: String| ConfigError(format!("kubeconfig {name}: {words}"));
        let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        let mut config = Self::parse(&text).map_err(|error| wrong(error.0))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let folder = absolute(folder.join(".")).map_err(|error| wrong(error.to_string()))?;
        config.resolve(&folder);
        Ok(config)
    }

    /// Of several documents clients read the first one.
    fn parse(text: &str) -> Result<Self, ConfigError> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| {
            let place = error.location();
            let place = place.map(|at| format!(" at line {}, column {}", at.line(), at.column()));
            ConfigError(format!("not YAML{}", place.unwrap_or_default()))
        })?;
        let mut top = match documents.into_iter().next() {
            None | Some(Value::Null) => return Ok(Self::default()),
            Some(Value::Object(top)) => top,
            Some(_) => return Err(ConfigError::new("not a kubeconfig")),
        };
        let current = match top.remove("current-context") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name).filter(|name| !name.is_empty()),
            Some(_) => return Err(ConfigError::new("current-context must be a text")),
        };
        Ok(Self {
            current_context: current,
            contexts: named(top.remove("contexts"), "contexts", "context")?,
            clusters: named(top.remove("clusters"), "clusters", "cluster")?,
            users: named(top.remove("users"), "users", "user")?,
            preferences: top.remove("preferences").filter(|value| !value.is_null()),
        })
    }

    /// What is there already stays, with all of its fields.
    fn merge(&mut self, next: Self) {
        let lists = [
            (&mut self.contexts, next.contexts),
            (&mut self.clusters, next.clusters),
            (&mut self.users, next.users),
        ];
        for (there, new) in lists {
            for one in new {
                if there.iter().all(|other| other.name != one.name) {
                    there.push(one);
                }
            }
        }
        self.current_context = self.current_context.take().or(next.current_context);
        self.preferences = self.preferences.take().or(next.preferences);
    }

    /// Makes the paths absolute, as seen from the file's folder. A command without a slash is
    /// looked for in `PATH`.
    fn resolve(&mut self, folder: &Path) {
        for cluster in &mut self.clusters {
            resolve(cluster.fields.get_mut("certificate-authority"), folder);
        }
        for user in &mut self.users {
            for field in ["client-certificate", "client-key", "tokenFile"] {
                resolve(user.fields.get_mut(field), folder);
            }
            let command = user
                .fields
                .get_mut("exec")
                .and_then(|it| it.get_mut("command"));
            if command
                .as_ref()
                .is_some_and(|it| it.as_str().is_some_and(|it| it.contains('/')))
            {
                resolve(command, folder);
            }
        }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        let lists = [&self.contexts, &self.clusters, &self.users];
        lists.iter().all(|list| list.is_empty()) && self.current_context.is_none()
    }

    /// A context, without a name the current one, with its cluster and user. client-go takes a user
    /// that is missing for one without a credential, and so does this.
    ///
    /// # Errors
    ///
    /// Where the context or its cluster is missing.
    pub fn choose(&self, context: Option<&str>) -> Result<Chosen, ConfigError> {
        let name = context.or(self.current_context.as_deref());
        let name = name.filter(|name| !name.is_empty()).ok_or_else(|| {
            ConfigError::new("the kubeconfig has no current-context: name one with --context")
        })?;
        let context = find(&self.contexts, name)
            .ok_or_else(|| ConfigError(format!("the kubeconfig has no context {name:?}")))?;
        let text = |field| context.fields.get(field).and_then(Value::as_str);
        let cluster = text("cluster").unwrap_or_default();
        let cluster = find(&self.clusters, cluster).ok_or_else(|| {
            ConfigError(format!(
                "the kubeconfig has no cluster {cluster:?}, which context {name:?} names"
            ))
        })?;
        Ok(Chosen {
            context: context.clone(),
            cluster: cluster.clone(),
            user: text("user")
                .and_then(|user| find(&self.users, user))
                .cloned(),
        })
    }
}

fn usual_files() -> Vec<PathBuf> {
    let listed = env::var_os("KUBECONFIG").filter(|list| !list.is_empty());
    if let Some(list) = listed {
        let files = env::split_paths(&list);
        return files.filter(|file| !file.as_os_str().is_empty()).collect();
    }
    let home = env::home_dir().map(|home| home.join(".kube/config"));
    home.into_iter().collect()
}

fn find<'n>(list: &'n [Named], name: &str) -> Option<&'n Named> {
    list.iter().find(|one| one.name == name)
}

/// `[{name: NAME, KIND: {FIELD: VALUE}}]`.
fn named(list: Option<Value>, title: &str, kind: &str) -> Result<Vec<Named>, ConfigError> {
    let list = match list {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(ConfigError(format!("{title} must be a list"))),
    };
    let mut found: Vec<Named> = Vec::new();
    for mut one in list {
        let name = one.get("name").and_then(Value::as_str).unwrap_or_default();
        let name = name.to_owned();
        let mut fields = match one.get_mut(kind).map(Value::take) {
            None | Some(Value::Null) => Fields::new(),
            Some(Value::Object(fields)) => fields,
            Some(_) => return Err(ConfigError(format!("{kind} {name:?} has no fields"))),
        };
        fields.retain(|_, value| !value.is_null());
        if find(&found, &name).is_some() {
            return Err(ConfigError(format!("{title} names {name:?} twice")));
        }
        found.push(Named { name, fields });
    }
    Ok(found)
}

fn resolve(path: Option<&mut Value>, folder: &Path) {
    if let Some(Value::String(path)) = path
        && !path.is_empty()
        && let Ok(resolved) = absolute(folder.join(&*path))
    {
        *path = resolved.to_string_lossy().into_owned();
    }
}

/// The fields of a context, a cluster, a user or a part of one, which `place` names. `T` has to
/// have a default for each and to deny all others: a newer Kubernetes may have fields that say who
/// acts or where.
pub(crate) fn typed<T: DeserializeOwned>(place: &str, fields: &Fields) -> Result<T, ConfigError> {
    let read = |fields: Fields| serde_json::from_value::<T>(Value::Object(fields));
    for (name, value) in fields {
        let alone = Fields::from_iter([(name.clone(), value.clone())]);
        // What serde says may have the value in it.
        if let Err(error) = read(alone) {
            let words = if error.to_string().starts_with("unknown field") {
                "is not known here, and could change who acts or where: take it out"
            } else {
                "is not of the kind that Kubernetes has for it"
            };
            return Err(ConfigError(format!(
                "the kubeconfig's {place}.{name} {words}"
            )));
        }
    }
    read(fields.clone()).map_err(|_| ConfigError(format!("the kubeconfig's {place} can't be used")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Kubeconfig, String> {
        Kubeconfig::parse(text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_first_file_wins_with_all_fields() {
        let mut merged = parsed("users: [{name: u, user: {token: a}}]").unwrap();
        let next = "{current-context: c, users: [{name: u, user: {as: x}}, {name: v}]}\n---\n[]";
        merged.merge(parsed(next).unwrap());
        merged.merge(parsed("current-context: d").unwrap());
        assert_eq!(merged.current_context.as_deref(), Some("c"));
        assert_eq!(merged.users[0].fields["token"], "a");
        assert!(!merged.users[0].fields.contains_key("as"));
        assert_eq!(merged.users[1].name, "v");
        assert!(parsed("").unwrap().is_empty());
    }

    #[test]
    fn a_path_is_seen_from_the_files_folder() {
        let mut config = parsed(
            "{clusters: [{name: c, cluster: {certificate-authority: ca.crt}}], users: [
              {name: u, user: {tokenFile: ./t, client-key: /k, client-certificate: '',
                exec: {command: bin/x}}},
              {name: v, user: {exec: {command: aws}}}]}",
        )
        .unwrap();
        config.resolve(Path::new("/home/me/."));
        assert_eq!(
            config.clusters[0].fields["certificate-authority"],
            "/home/me/ca.crt"
        );
        let user = &config.users[0].fields;
        assert_eq!(user["tokenFile"], "/home/me/t");
        assert_eq!(
            (&user["client-key"], &user["client-certificate"]),
            (&"/k".into(), &"".into())
        );
        assert_eq!(user["exec"]["command"], "/home/me/bin/x");
        assert_eq!(config.users[1].fields["exec"]["command"], "aws");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_value() {
        assert_eq!(
            parsed("users: {a: Secret}").err().unwrap(),
            "users must be a list"
        );
        let twice = parsed("users: [{name: u}, {name: u}]").err().unwrap();
        assert_eq!(twice, "users names \"u\" twice");
        let broken = parsed("users: [{name: u, user: {token: 'Secret}}]")
            .err()
            .unwrap();
        assert!(
            broken.starts_with("not YAML") && !broken.contains("Secret"),
            "{broken}"
        );
    }
}
