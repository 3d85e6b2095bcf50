//! What this server knows about a resource.

/// A column of `kubectl get` between Name and Age: title, OpenAPI type, dotted path into the object.
pub(crate) type Column = (&'static str, &'static str, &'static str);

/// How a resource behaves where Kubernetes's own types and custom resources differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Compiled into kube-apiserver: takes strategic merge patches, `kind` may be missing in a body.
    Native,
    /// From a CustomResourceDefinition: every change outside metadata (and status) bumps the generation.
    Custom,
}

/// One resource in its only served version.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) singular: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) short_names: &'static [&'static str],
    pub(crate) namespaced: bool,
    pub(crate) origin: Origin,
    /// Whether `/status` exists, so that the main resource cannot change `.status`.
    pub(crate) status: bool,
    /// Whether an update without a resourceVersion is taken.
    pub(crate) unconditional: bool,
    /// Whether an update creates the object if it is missing.
    pub(crate) update_creates: bool,
    /// Whether a deletion answers the object, instead of a `Status`.
    pub(crate) deletion_returns: bool,
    /// Whether `metadata.generation` is kept.
    pub(crate) generation: bool,
    /// Further subresources, only ever POSTed or read: (name, kind, verbs).
    pub(crate) subresources: &'static [(&'static str, &'static str, &'static [&'static str])],
    /// Fields beyond `metadata.name` and `metadata.namespace` that a fieldSelector may name.
    pub(crate) fields: &'static [&'static str],
    pub(crate) columns: &'static [Column],
}

impl Resource {
    pub(crate) const fn native(
        group: &'static str,
        names: [&'static str; 3],
        short_names: &'static [&'static str],
    ) -> Self {
        let [plural, singular, kind] = names;
        Self {
            group,
            version: "v1",
            plural,
            singular,
            kind,
            short_names,
            namespaced: true,
            origin: Origin::Native,
            status: false,
            unconditional: true,
            update_creates: false,
            deletion_returns: false,
            generation: false,
            subresources: &[],
            fields: &[],
            columns: &[],
        }
    }

    pub(crate) const fn custom(
        group: &'static str,
        names: [&'static str; 3],
        short_names: &'static [&'static str],
    ) -> Self {
        let mut resource = Self::native(group, names, short_names);
        resource.origin = Origin::Custom;
        resource.generation = true;
        resource.unconditional = false;
        resource
    }

    pub(crate) const fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    pub(crate) const fn cluster(mut self) -> Self {
        self.namespaced = false;
        self
    }

    pub(crate) const fn status(mut self) -> Self {
        self.status = true;
        self
    }

    pub(crate) const fn versioned(mut self) -> Self {
        self.unconditional = false;
        self
    }

    pub(crate) const fn update_creates(mut self) -> Self {
        self.update_creates = true;
        self
    }

    pub(crate) const fn deletion_returns(mut self) -> Self {
        self.deletion_returns = true;
        self
    }

    pub(crate) const fn generation(mut self) -> Self {
        self.generation = true;
        self
    }

    pub(crate) const fn fields(mut self, fields: &'static [&'static str]) -> Self {
        self.fields = fields;
        self
    }

    pub(crate) const fn columns(mut self, columns: &'static [Column]) -> Self {
        self.columns = columns;
        self
    }

    pub(crate) const fn subresources(
        mut self,
        subs: &'static [(&'static str, &'static str, &'static [&'static str])],
    ) -> Self {
        self.subresources = subs;
        self
    }

    /// `v1` or `kubevirt.io/v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `PodList`.
    pub(crate) fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }

    /// Whether `kubectl get all` shows it.
    pub(crate) fn in_all(&self) -> bool {
        let native = matches!(self.plural, "pods" | "services");
        native || (self.origin == Origin::Custom && self.namespaced)
    }

    pub(crate) fn is_pods(&self) -> bool {
        self.group.is_empty() && self.plural == "pods"
    }

    pub(crate) fn is_namespaces(&self) -> bool {
        self.group.is_empty() && self.plural == "namespaces"
    }
}
