//! Emergency access: who may take it, what it opens, how loud it is, and its review.

use serde_json::json;

use crate::harness::TestApp;

#[test]
fn only_an_admin_gives_the_right_to_emergency_access_and_each_change_is_recorded() {
    let app = TestApp::start();
    let (admin, ann) = (app.admin("root"), app.signed_up("ann"));
    let path = format!("/api/admin/users/{}", ann.id);
    assert_eq!(ann.get("/api/auth/me").expect(200, "success").data()["may_break_glass"], false);
    ann.patch(&path, json!({ "may_break_glass": true })).expect(403, "forbidden");
    let refused = ann.patch("/api/auth/me", json!({ "may_break_glass": true })).expect(400, "invalid");
    assert_eq!(refused.fields(), ["may_break_glass"]);
    assert_eq!(admin.patch(&path, json!({ "may_break_glass": null })).status, 400);
    assert_eq!(admin.patch(&path, json!({ "may_break_glass": "yes" })).expect(400, "invalid").fields().len(), 1);
    assert!(app.audited("role_change").is_empty());

    let given = admin.patch(&path, json!({ "may_break_glass": true })).expect(200, "updated");
    assert_eq!(given.data()["may_break_glass"], true);
    assert_eq!(ann.get("/api/auth/me").expect(200, "success").data()["may_break_glass"], true);
    admin.patch(&path, json!({ "may_break_glass": true })).expect(200, "updated");
    admin.patch(&path, json!({ "may_break_glass": false, "role": "admin" })).expect(200, "updated");
    let entries = app.audited("role_change");
    let was: Vec<_> = entries.iter().map(|entry| &entry["before"]["may_break_glass"]).collect();
    assert_eq!(was, [&json!(false), &json!(true)], "one entry a change, and none for what changes nothing");
    assert!(entries.iter().all(|entry| entry["actor_id"] == admin.id && entry["resource_id"] == ann.id));
    let versions = admin.get(&format!("{path}/history")).expect(200, "success").data();
    assert_eq!(versions[1]["record"]["may_break_glass"], true);
}
