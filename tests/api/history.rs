//! Every version of a record is kept, and what was deleted can be brought back.

use serde_json::json;

use crate::harness::TestApp;

#[test]
fn a_kept_version_can_lose_its_record_and_nothing_else() {
    let app = TestApp::start();
    let (ann, mut sql) = (app.signed_up("ann"), app.sql());
    let path = format!("/api/patients/{}", ann.new_patient("P"));
    ann.patch(&path, json!({ "name": "Q" })).expect(200, "updated");
    for forbidden in [
        "update record_versions set version = 7",
        "update record_versions set record = record",
        "update record_versions set record = '{}'",
        "update record_versions set record = null, actor_id = null",
        "update record_versions set record = null, texts_here = '{}'",
        "delete from record_versions",
        "truncate record_versions",
    ] {
        let error = sql.batch_execute(forbidden).expect_err(forbidden);
        assert!(
            error.as_db_error().is_some_and(|error| error.message().starts_with("versions are never")),
            "{forbidden}: {error}"
        );
    }
    let erased = sql.execute("update record_versions set record = null", &[]).expect("an erasure");
    assert_eq!(erased, 1);
}

#[test]
fn two_hundred_changes_of_a_patient_with_a_long_history_write_little() {
    let app = TestApp::start();
    let (ann, mut sql) = (app.signed_up("ann"), app.sql());
    // 80 KB that do not compress.
    let history: String =
        (0..20_000u32).filter_map(|n| char::from_u32(0x2_0000 + n.wrapping_mul(2_654_435_761) % 40_000)).collect();
    let path = format!("/api/patients/{}", ann.new_patient("P"));
    ann.patch(&path, json!({ "medical_history": history })).expect(200, "updated");
    let size = "select pg_database_size(current_database())";
    let before: i64 = sql.query_one(size, &[]).expect("a size").get(0);
    for number in 0..200 {
        ann.patch(&path, json!({ "phone": format!("{}", 10_000 + number) })).expect(200, "updated");
    }
    let grown = sql.query_one(size, &[]).expect("a size").get::<_, i64>(0) - before;
    assert!(grown < 4_000_000, "200 changes of a phone number took {grown} bytes");
    let texts = "select count(*) filter (where texts_here is not null), count(*) filter (where texts_later is not null) from record_versions";
    let row = sql.query_one(texts, &[]).expect("counts");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (0, 200), "the text is in the record itself");
}
