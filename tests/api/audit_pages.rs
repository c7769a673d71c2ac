//! What a page of the audit trail costs: the same on the first page and deep in a long trail, with every filter.

use healthcare_backend::sql::Queries;
use postgres::Client;
use postgres::types::{ToSql, Type};
use serde_json::Value;

use crate::harness::TestApp;

/// Entries in the trail of the test; a page that read them all would touch thousands of blocks.
const ENTRIES: i64 = 100_000;
/// Blocks of 8 KiB that a page of 21 entries may touch.
const MOST_BLOCKS: i64 = 400;

/// Mostly reads and lists of patients, by 50 users; a tenth changes; few events of accounts; one record of which nobody has heard
/// for long.
const FILL: &str = "
    insert into audit_entries (actor_id, action, resource, resource_id, resource_ids, outcome, ip)
    select 1 + n % 50,
           case when k % 100 = 0 then 'login' when k % 10 = 0 then 'update' when k % 3 = 0 then 'list' else 'read' end,
           case when k % 100 = 0 then 'session' when k % 7 = 0 then 'mapping' else 'patient' end,
           case when k % 100 = 0 then n when k % 10 = 0 or k % 3 <> 0 then 1 + n % 5000 end,
           case when k % 10 <> 0 and k % 3 = 0 then array[n % 5000, 1 + n % 5000, 2 + n % 5000] end,
           'success', '127.0.0.1'
      from generate_series(1, $1::bigint) as n, lateral (select n / 50 as k) as round";

/// What is filtered, and by which `actor_id`, `action`, `resource` and `resource_id`.
type Filter<'a> = (&'a str, Option<i64>, Option<&'a str>, Option<&'a str>, Option<i64>);

/// Blocks that the statement of the page touched.
fn blocks(sql: &mut Client, page: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> i64 {
    let rows = sql.query_typed(&format!("explain (analyze, buffers, format json) {page}"), parameters).expect("a plan");
    let plan: Value = rows[0].get(0);
    let count = |name: &str| plan[0]["Plan"][name].as_i64().expect("a number");
    count("Shared Hit Blocks") + count("Shared Read Blocks")
}

#[test]
fn a_page_costs_the_same_wherever_it_is_and_whatever_it_filters() {
    let app = TestApp::start();
    let mut sql = app.sql();
    sql.execute(FILL, &[&ENTRIES]).expect("a long trail");
    sql.batch_execute("insert into audit_entries (action, resource, resource_id) values ('create', 'doctor', 77)")
        .expect("one");
    sql.batch_execute("vacuum analyze audit_entries").expect("statistics");
    let page = Queries::load(None).expect("statements").audit.list.text;
    let (actor, id) = (Some(7_i64), Some(4_321_i64));
    let filters: [Filter; 12] = [
        ("none", None, None, None, None),
        ("a user", actor, None, None, None),
        ("a user who is not there", Some(999), None, None, None),
        ("frequent action", None, Some("read"), None, None),
        ("rare action", None, Some("login"), None, None),
        ("an action that never was", None, Some("unlock"), None, None),
        ("frequent resource", None, None, Some("patient"), None),
        ("rare resource", None, None, Some("session"), None),
        ("one record", None, None, Some("patient"), id),
        ("one record, any kind", None, None, None, id),
        ("a record that is not there", None, None, Some("patient"), Some(999_999)),
        ("the changes of a user", actor, Some("update"), Some("patient"), None),
    ];
    for (what, actor_id, action, resource, resource_id) in filters {
        for before in [i64::MAX, ENTRIES / 10] {
            let parameters: [(&(dyn ToSql + Sync), Type); 6] = [
                (&before, Type::INT8),
                (&21_i64, Type::INT8),
                (&actor_id, Type::INT8),
                (&action, Type::TEXT),
                (&resource, Type::TEXT),
                (&resource_id, Type::INT8),
            ];
            let touched = blocks(&mut sql, &page, &parameters);
            assert!(touched < MOST_BLOCKS, "{what}, before {before}: {touched} blocks");
        }
    }
}
