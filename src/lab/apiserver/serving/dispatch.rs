//! From an HTTP request to the handler that answers it: log, faults, authentication, authorisation, routing.

use std::sync::Arc;

use ::http::{HeaderMap, Method, Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use super::review;
use crate::apiserver::deleting::remove;
use crate::apiserver::discovery::documents;
use crate::apiserver::log::Pending;
use crate::apiserver::reading::read;
use crate::apiserver::reading::watch;
use crate::apiserver::representation::answer::{Answer, Body};
use crate::apiserver::representation::view::View;
use crate::apiserver::requests::call::{self, Call};
use crate::apiserver::requests::query::Query;
use crate::apiserver::requests::route::Route;
use crate::apiserver::resources::meta;
use crate::apiserver::resources::registry::{self, ResourceId};
use crate::apiserver::resources::resource::{Origin, Resource};
use crate::apiserver::server::ApiServer;
use crate::apiserver::status::Failure;
use crate::apiserver::writing::create;
use crate::apiserver::writing::patch;
use crate::apiserver::writing::pods;
use crate::apiserver::writing::update;

/// The largest body, as kube-apiserver's.
const MAX_BODY: usize = 3 * 1024 * 1024;

/// Answers one request and logs it.
pub(crate) async fn respond(
    server: Arc<ApiServer>,
    request: Request<Incoming>,
    stop: CancellationToken,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let query = Query::parse(head.uri.query().unwrap_or_default());
    let parsed = Route::parse(head.method.as_str(), head.uri.path(), &query);
    let readable = parsed.is_some();
    let route = parsed.unwrap_or_default();
    let audit_id = audit_id(&head.headers);
    let mut pending = Pending::new(
        server.log.clone(),
        &route,
        audit_id,
        call::agent(&head.headers),
    );
    let asked = Asked {
        method: head.method,
        headers: head.headers,
        route,
        query,
        stop,
    };
    let outcome = if readable {
        answer(&server, &asked, body, &mut pending).await
    } else {
        Err(Failure::bad_request("the path cannot be decoded"))
    };
    let answer = outcome.unwrap_or_else(|failure| refusal(failure, &asked.route));
    let (code, delay) = (answer.code(), server.faults.delay());
    let response = answer.into_response(&asked.method, pending.audit_id(), delay);
    pending.answered(code);
    response
}

struct Asked {
    method: Method,
    headers: HeaderMap,
    route: Route,
    query: Query,
    stop: CancellationToken,
}

/// Where nothing is installed that could tell in a `Status`, there is only text: outside the groups that are compiled
/// into kube-apiserver, and outside all groups.
fn refusal(failure: Failure, route: &Route) -> Answer {
    if failure.is_no_such_path() && !registry::is_native(&route.group, &route.version) {
        return Answer::text(404, "404 page not found\n");
    }
    failure.into()
}

/// The client's, if it is a sensible one, as kube-apiserver does; else a new one.
fn audit_id(headers: &HeaderMap) -> String {
    let given = headers.get("audit-id").and_then(|id| id.to_str().ok());
    given
        .filter(|id| !id.is_empty() && id.len() <= 64)
        .map_or_else(meta::new_uid, str::to_owned)
}

async fn answer(
    server: &Arc<ApiServer>,
    asked: &Asked,
    body: Incoming,
    pending: &mut Pending,
) -> Result<Answer, Failure> {
    let user = server.access.authenticate(&asked.headers)?;
    pending.set_user(&user.name);
    if asked.route.is_mutating() && server.faults.refuses() {
        return Err(Failure::too_many_requests());
    }
    server.access.authorize(&user, &asked.route)?;
    if let Some(known) = asked.route.known() {
        let view =
            View::negotiate(call::accept(&asked.headers)).ok_or_else(Failure::not_acceptable)?;
        let call = make_call(asked, known, user, view, read_body(body).await?)?;
        return handle(server, call, asked).await;
    }
    let body = read_body(body).await?;
    if asked.route.is_resource() {
        return review::review(
            server,
            &asked.route,
            &user,
            &call::content_type(&asked.headers),
            &body,
        );
    }
    documents::answer(&server.options, &asked.route, call::accept(&asked.headers))
}

async fn read_body(body: Incoming) -> Result<Bytes, Failure> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::too_large()),
        Err(_) => Err(Failure::bad_request(
            "the body of the request could not be read",
        )),
    }
}

fn make_call(
    asked: &Asked,
    (id, resource): (ResourceId, &'static Resource),
    user: crate::apiserver::requests::user::UserInfo,
    view: View,
    body: Bytes,
) -> Result<Call, Failure> {
    let route = asked.route.clone();
    let stray_namespace =
        !resource.namespaced && !resource.is_namespaces() && !route.namespace.is_empty();
    if stray_namespace || !has_subresource(resource, &route.subresource) {
        return Err(Failure::no_such_path());
    }
    let across = matches!(route.verb.as_str(), "list" | "watch");
    if resource.namespaced && route.namespace.is_empty() && !across {
        return Err(match resource.origin {
            Origin::Native => Failure::method_not_allowed(),
            Origin::Custom => Failure::no_such_path(),
        });
    }
    let (headers, query) = (&asked.headers, asked.query.clone());
    let (content_type, agent) = (call::content_type(headers), call::agent(headers));
    Ok(Call {
        id,
        resource,
        route,
        query,
        user,
        view,
        content_type,
        agent,
        body,
    })
}

fn has_subresource(resource: &Resource, name: &str) -> bool {
    let known = || {
        resource
            .subresources
            .iter()
            .any(|(known, ..)| *known == name)
    };
    name.is_empty() || (name == "status" && resource.status) || known()
}

async fn handle(server: &Arc<ApiServer>, call: Call, asked: &Asked) -> Result<Answer, Failure> {
    match (call.route.subresource.as_str(), call.route.verb.as_str()) {
        ("" | "status", "get") => read::get(server, &call),
        ("", "list") => read::list(server, &call),
        ("", "watch") => watch::start(server.clone(), call, asked.stop.clone()),
        ("", "create") => create::create(server, &call).await,
        ("" | "status", "update") => update::put(server, &call).await,
        ("" | "status", "patch") => patch::patch(server, &call).await,
        ("binding", "create") => pods::bind(server, &call),
        ("eviction", "create") => pods::evict(server, &call),
        ("", "delete") => remove::delete(server, &call),
        ("", "deletecollection") => remove::delete_collection(server, &call),
        ("log", "get") => Ok(Answer::text(404, "this server keeps no container logs\n")),
        _ => Err(Failure::method_not_allowed()),
    }
}
