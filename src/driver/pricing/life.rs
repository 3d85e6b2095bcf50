//! One life of some objects of a kind: created, read, written in all ways, deleted; each step is a
//! batch.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    caller::{Answer, Call},
    error::PricingError,
    session::{Batch, Session},
    subject::{LABEL, Subject},
};
use prices::{Size, What};
use record::{PricedCall, PricedOutcome};

/// How often what reads all objects is called, in place of once for each object.
const LISTS: usize = 10;

/// Objects under way.
pub(super) struct Life<'l> {
    pub(super) subject: &'l Subject,
    pub(super) namespace: &'l str,
    pub(super) size: Size,
    /// Their names.
    pub(super) names: Vec<String>,
    /// As the API server last gave them.
    pub(super) objects: Vec<Value>,
}

impl<'l> Life<'l> {
    /// None of the `count` objects is there yet.
    pub(super) fn new(subject: &'l Subject, namespace: &'l str, size: Size, count: usize) -> Self {
        let name = |number: usize| format!("{namespace}-{number}");
        Self {
            subject,
            namespace,
            size,
            names: (0..count).map(name).collect(),
            objects: Vec::new(),
        }
    }

    /// From the creation of the objects to their end.
    pub(super) async fn measure(&mut self, session: &mut Session<'_>) -> Result<(), PricingError> {
        self.create(session).await?;
        // A kind of which nothing can be created has its reason in the session.
        if self.objects.is_empty() {
            return Ok(());
        }
        self.read(session).await?;
        self.update(session, "").await?;
        self.patch(session, "").await?;
        if self.subject.status.is_some() {
            self.update(session, "status").await?;
            self.patch_status(session).await?;
        }
        if self.subject.plural == "pods" {
            self.bind(session).await?;
        }
        self.delete(session).await
    }

    /// `create`, and `create` of what is there.
    async fn create(&mut self, session: &mut Session<'_>) -> Result<(), PricingError> {
        let collection = self.subject.collection(self.namespace);
        let calls = || {
            let objects = self.names.iter().map(|name| self.new_object(name));
            let posts = objects.map(|object| Call::post(collection.clone(), &object));
            posts.collect::<Vec<Call>>()
        };
        let (first, again) = (calls(), calls());
        self.keep(session, ("create", "", PricedOutcome::Success), first)
            .await?;
        self.run(session, ("create", "", PricedOutcome::Conflict), again)
            .await
    }

    pub(super) fn new_object(&self, name: &str) -> Value {
        self.subject.object(name, self.namespace, self.size)
    }

    /// `get`, `list`, `watch`.
    async fn read(&mut self, session: &mut Session<'_>) -> Result<(), PricingError> {
        use PricedOutcome::{NotFound, Success};
        let gets = |names: Vec<String>| names.into_iter().map(Call::get).collect();
        self.run(session, ("get", "", Success), gets(self.paths("")))
            .await?;
        self.run(session, ("get", "", NotFound), gets(self.missing("")))
            .await?;
        let collection = self.subject.collection(self.namespace);
        let lists = vec![collection; LISTS].into_iter().map(Call::get).collect();
        self.run(session, ("list", "", Success), lists).await?;
        self.run(session, ("watch", "", Success), self.watches())
            .await
    }

    /// Openings of watches from the objects' last version on, as after a list: no event is due.
    fn watches(&self) -> Vec<Call> {
        let collection = self.subject.collection(self.namespace);
        let versions = self.objects.iter().filter_map(|object| {
            let version = object["metadata"]["resourceVersion"].as_str()?;
            version.parse::<u64>().ok()
        });
        let Some(version) = versions.max() else {
            return Vec::new();
        };
        let path = format!("{collection}?watch=1&timeoutSeconds=300&resourceVersion={version}");
        vec![path; self.names.len()]
            .into_iter()
            .map(Call::watch)
            .collect()
    }

    /// `update`: with a change, without one, of an older version, of what isn't there.
    async fn update(
        &mut self,
        session: &mut Session<'_>,
        subresource: &str,
    ) -> Result<(), PricingError> {
        use PricedOutcome::{Conflict, NoOp, NotFound, Success};
        let paths = self.paths(subresource);
        let calls = puts(paths.clone(), &self.changed(subresource, "updated"));
        let calls_stale = puts(paths.clone(), &self.changed(subresource, "stale"));
        self.keep(session, ("update", subresource, Success), calls)
            .await?;
        let same = puts(paths, &self.objects);
        self.keep_same(session, ("update", subresource, NoOp), same)
            .await?;
        self.run(session, ("update", subresource, Conflict), calls_stale)
            .await?;
        let renamed: Vec<Value> = self.objects.iter().cloned().map(rename).collect();
        let calls = puts(self.missing(subresource), &renamed);
        self.run(session, ("update", subresource, NotFound), calls)
            .await?;
        // An update of some kinds creates what isn't there.
        let deletes = self.missing("").into_iter().map(Call::delete);
        session.prepare(deletes.collect()).await?;
        Ok(())
    }

    /// `patch` by JSON patch: with a change, without one, with a `test` that fails, of what isn't
    /// there.
    async fn patch(
        &mut self,
        session: &mut Session<'_>,
        subresource: &str,
    ) -> Result<(), PricingError> {
        use PricedOutcome::{Invalid, NoOp, NotFound, Success};
        let patches = |paths: Vec<String>, body: &Value| {
            let calls = paths.into_iter();
            calls.map(|path| Call::json_patch(path, body)).collect()
        };
        let paths = self.paths(subresource);
        let calls = patches(paths.clone(), &label_patch("updated", "patched"));
        self.keep(session, ("patch", subresource, Success), calls)
            .await?;
        let same = patches(paths.clone(), &label_patch("patched", "patched"));
        self.keep_same(session, ("patch", subresource, NoOp), same)
            .await?;
        let calls = patches(paths, &label_patch("other", "never"));
        self.run(session, ("patch", subresource, Invalid), calls)
            .await?;
        let calls = patches(self.missing(subresource), &label_patch("patched", "never"));
        self.run(session, ("patch", subresource, NotFound), calls)
            .await
    }

    /// `patch` of the status: with a change, without one, with a `test` that fails. The first two as
    /// kubelets and controllers do it.
    async fn patch_status(&mut self, session: &mut Session<'_>) -> Result<(), PricingError> {
        let field = self.subject.status.unwrap_or_default();
        let value = status_value(field, "patched");
        let body = json!({"status": {field: value}});
        let calls = || {
            let paths = self.paths("status").into_iter();
            let patch = |path| match self.subject.is_custom() {
                true => Call::merge_patch(path, &body),
                false => Call::strategic_patch(path, &body),
            };
            paths.map(patch).collect()
        };
        let (calls, same) = (calls(), calls());
        self.keep(session, ("patch", "status", PricedOutcome::Success), calls)
            .await?;
        self.keep_same(session, ("patch", "status", PricedOutcome::NoOp), same)
            .await?;
        let failing = label_patch("other", "never");
        let paths = self.paths("status").into_iter();
        let calls = paths.map(|path| Call::json_patch(path, &failing)).collect();
        self.run(session, ("patch", "status", PricedOutcome::Invalid), calls)
            .await
    }

    /// `create` of `pods/binding`, as a scheduler does.
    async fn bind(&mut self, session: &mut Session<'_>) -> Result<(), PricingError> {
        let bindings = self.names.iter().zip(self.paths("binding"));
        let bindings = bindings.map(|(name, path)| {
            let body = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
                "target": {"apiVersion": "v1", "kind": "Node", "name": "kubetoll-none"}});
            Call::post(path, &body)
        });
        let calls = bindings.collect();
        self.run(
            session,
            ("create", "binding", PricedOutcome::Success),
            calls,
        )
        .await
    }

    /// `delete`, and `delete` of what isn't there.
    async fn delete(&mut self, session: &mut Session<'_>) -> Result<(), PricingError> {
        use PricedOutcome::{NotFound, Success};
        let deletes = |paths: Vec<String>| paths.into_iter().map(Call::delete).collect();
        let calls = deletes(self.missing(""));
        self.run(session, ("delete", "", NotFound), calls).await?;
        let calls = deletes(self.paths(""));
        self.run(session, ("delete", "", Success), calls).await
    }

    /// Paths of the objects, or of a subresource of theirs.
    pub(super) fn paths(&self, subresource: &str) -> Vec<String> {
        self.paths_with(subresource, "")
    }

    /// Paths where nothing is.
    pub(super) fn missing(&self, subresource: &str) -> Vec<String> {
        self.paths_with(subresource, MISSING)
    }

    fn paths_with(&self, subresource: &str, suffix: &str) -> Vec<String> {
        let collection = self.subject.collection(self.namespace);
        let path = |name: &String| match subresource {
            "" => format!("{collection}/{name}{suffix}"),
            _ => format!("{collection}/{name}{suffix}/{subresource}"),
        };
        self.names.iter().map(path).collect()
    }

    /// The objects with something else in them.
    pub(super) fn changed(&self, subresource: &str, value: &str) -> Vec<Value> {
        let change = |object: &Value| {
            let mut object = object.clone();
            match (subresource, self.subject.status) {
                ("status", Some(field)) => object["status"][field] = status_value(field, value),
                _ => object["metadata"]["labels"][LABEL] = value.into(),
            }
            object
        };
        self.objects.iter().map(change).collect()
    }

    /// Runs a batch that gives no object.
    async fn run(
        &self,
        session: &mut Session<'_>,
        step: Step<'_>,
        calls: Vec<Call>,
    ) -> Result<(), PricingError> {
        self.send(session, step, calls).await?;
        Ok(())
    }

    /// Runs a batch; gives the bodies of its answers.
    async fn send(
        &self,
        session: &mut Session<'_>,
        step: Step<'_>,
        calls: Vec<Call>,
    ) -> Result<Vec<Bytes>, PricingError> {
        let (verb, _, outcome) = step;
        let batch = self.batch(self.call(step), code(verb, outcome), calls);
        session.batch(batch).await
    }

    /// Runs a batch that gives the objects as they are then.
    async fn keep(
        &mut self,
        session: &mut Session<'_>,
        step: Step<'_>,
        calls: Vec<Call>,
    ) -> Result<(), PricingError> {
        let bodies = self.send(session, step, calls).await?;
        self.take_bodies(&bodies)
    }

    /// Keeps the objects that a batch gave; what went wrong gave none.
    fn take_bodies(&mut self, bodies: &[Bytes]) -> Result<(), PricingError> {
        let objects: Result<Vec<Value>, _> = bodies
            .iter()
            .map(|body| serde_json::from_slice(body))
            .collect();
        let objects = objects.map_err(|error| PricingError::Call(error.to_string()))?;
        if !objects.is_empty() {
            self.objects = objects;
        }
        Ok(())
    }

    /// The same of writes that must change nothing.
    async fn keep_same(
        &mut self,
        session: &mut Session<'_>,
        step: Step<'_>,
        calls: Vec<Call>,
    ) -> Result<(), PricingError> {
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        let before: Vec<Value> = self.objects.iter().map(version).collect();
        self.keep(session, step, calls).await?;
        let after: Vec<Value> = self.objects.iter().map(version).collect();
        if before != after {
            session.forget(&self.call(step), "the object changed all the same");
        }
        Ok(())
    }

    fn call(&self, (verb, subresource, outcome): Step<'_>) -> What {
        What::Call(self.priced(verb, subresource), outcome)
    }

    pub(super) fn priced(&self, verb: &str, subresource: &str) -> PricedCall {
        PricedCall {
            verb: verb.to_owned(),
            group: self.subject.group.to_owned(),
            resource: self.subject.plural.to_owned(),
            subresource: subresource.to_owned(),
            path: String::new(),
        }
    }

    pub(super) fn batch(&self, what: What, code: u16, calls: Vec<Call>) -> Batch {
        let bytes = |object: &Value| object.to_string().len();
        Batch {
            what,
            size: self.size,
            codes: vec![code; calls.len()],
            calls,
            object_bytes: self.objects.first().map_or(0, bytes) as f64,
        }
    }
}

/// Verb, subresource and outcome of a batch.
type Step<'s> = (&'s str, &'s str, PricedOutcome);

/// The status code of a call that ends so.
pub(super) fn code(verb: &str, outcome: PricedOutcome) -> u16 {
    match outcome {
        PricedOutcome::Success if verb == "create" => 201,
        PricedOutcome::Success | PricedOutcome::NoOp => 200,
        PricedOutcome::NotFound => 404,
        PricedOutcome::Conflict => 409,
        PricedOutcome::Invalid => 422,
    }
}

/// A JSON patch of the label of all objects, if it has the value `from`.
pub(super) fn label_patch(from: &str, to: &str) -> Value {
    let path = "/metadata/labels/kubetoll.dev~1price";
    json!([{"op": "test", "path": path, "value": from},
        {"op": "replace", "path": path, "value": to}])
}

/// Ends the name of an object that isn't there.
const MISSING: &str = "-missing";

/// An update of each path to its object.
fn puts(paths: Vec<String>, objects: &[Value]) -> Vec<Call> {
    let pairs = paths.into_iter().zip(objects);
    pairs
        .map(|(path, object)| Call::put(path, object))
        .collect()
}

fn rename(mut object: Value) -> Value {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let name = format!("{name}{MISSING}");
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.insert("name".to_owned(), name.into());
        metadata.remove("uid");
    }
    object
}

/// A value that the field takes.
fn status_value(field: &str, value: &str) -> Value {
    match (field, value) {
        // An enumeration.
        ("phase", "updated") => "Running".into(),
        ("phase", "patched") => "Terminated".into(),
        ("phase", _) => "Pending".into(),
        _ => value.into(),
    }
}

/// Steps that are not measured.
impl Life<'_> {
    /// Creates the objects.
    pub(super) async fn make(&mut self, session: &mut Session<'_>) -> Result<(), PricingError> {
        let collection = self.subject.collection(self.namespace);
        let objects = self.names.iter().map(|name| self.new_object(name));
        let posts = objects.map(|object| Call::post(collection.clone(), &object));
        let answers = session.prepare(posts.collect()).await?;
        self.take(&answers)
    }

    /// Reads the objects again.
    pub(super) async fn look_again(
        &mut self,
        session: &mut Session<'_>,
    ) -> Result<(), PricingError> {
        let gets = self.paths("").into_iter().map(Call::get).collect();
        let answers = session.prepare(gets).await?;
        self.take(&answers)
    }

    fn take(&mut self, answers: &[Answer]) -> Result<(), PricingError> {
        if let Some(odd) = answers.iter().find(|answer| answer.code >= 300) {
            return Err(PricingError::Refused {
                what: self.subject.collection(self.namespace),
                code: odd.code,
            });
        }
        let objects: Result<Vec<Value>, _> = answers.iter().map(Answer::object).collect();
        self.objects = objects?;
        Ok(())
    }

    /// Deletes the objects.
    pub(super) async fn unmake(&mut self, session: &mut Session<'_>) -> Result<(), PricingError> {
        let deletes = self.paths("").into_iter().map(Call::delete).collect();
        session.prepare(deletes).await?;
        self.objects.clear();
        Ok(())
    }

    /// Updates to these objects.
    pub(super) fn puts(&self, objects: &[Value]) -> Vec<Call> {
        puts(self.paths(""), objects)
    }

    /// Runs a batch that gives each object's label that value.
    pub(super) async fn update_all(
        &mut self,
        session: &mut Session<'_>,
        what: What,
        value: &str,
    ) -> Result<(), PricingError> {
        let calls = self.puts(&self.changed("", value));
        let bodies = session.batch(self.batch(what, 200, calls)).await?;
        self.take_bodies(&bodies)
    }
}
