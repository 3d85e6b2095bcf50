//! What is not claimed where bodies are not known.

use record::CallFindingKind as Kind;

use super::{Made, found, made, none, only, row};

const UPDATE: &str = "update virtualmachines";

#[test]
fn who_wrote_in_between_is_not_guessed() {
    let write = made(1, UPDATE, "a", 200).by("virt-handler").version("6");
    let refused = made(3, UPDATE, "a", 409).status("Conflict", &[]).sent("5");
    let known = row("Conflict: virt-handler UPDATE-virtualmachines", 1, 1);
    assert_eq!(found(Kind::Conflict, &[write, refused]), [known]);
    let unknown = [row("Conflict: unknown", 1, 1)];
    for requests in [
        [write, refused.unread()],
        [write.unread(), refused],
        [write.unread(), refused.unread()],
    ] {
        assert_eq!(found(Kind::Conflict, &requests), unknown);
    }
    let finding = only(Kind::Conflict, &[write.unread(), refused.unread()]);
    assert!(
        finding
            .detail
            .contains(": it is unknown who had written the object in between")
    );
}

#[test]
fn a_conflict_after_a_delete_is_one_if_the_object_may_be_there_still() {
    let delete = made(1, "delete virtualmachines", "a", 200);
    let refused = made(3, UPDATE, "a", 409).status("Conflict", &[]);
    assert_eq!(found(Kind::Conflict, &[delete, refused]), none());
    let requests = [delete.unread(), refused];
    assert_eq!(found(Kind::GoneObject, &requests), none());
    assert_eq!(
        found(Kind::Conflict, &requests),
        [row("Conflict: unknown", 1, 1)]
    );
    // That it was not found says it.
    let gone = made(4, UPDATE, "a", 404);
    let deleted = row("deleted: virt-controller DELETE-virtualmachines", 1, 1);
    assert_eq!(found(Kind::GoneObject, &[delete.unread(), gone]), [deleted]);
}

#[test]
fn bytes_and_who_ended_a_watch_are_left_out() {
    let reads = [1, 2].map(|at| made(at, "get pods", "a", 200).unread());
    let finding = only(Kind::RepeatedRead, &reads);
    assert!(
        finding
            .detail
            .ends_with("no write of the resource was seen in between."),
        "{}",
        finding.detail
    );
    let mut watch = made(1, "watch pods", "", 200).unread();
    watch.ended = Some(2_000);
    let later = made(9, "list pods", "", 200).unread();
    let finding = only(Kind::ShortWatch, &[watch, later]);
    assert_eq!(finding.reason, "ended by unknown");
    assert!(finding.detail.contains("by whom is unknown"));
}
