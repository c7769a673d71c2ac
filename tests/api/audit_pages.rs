//! What a page of the audit trail costs: the same on the first page and deep in a long trail, with every filter.

use std::time::{Duration, UNIX_EPOCH};

use healthcare_backend::internals::Queries;
use postgres::Client;
use postgres::types::{ToSql, Type};
use serde_json::Value;

use crate::harness::TestApp;

/// Entries that are rows, and then as many that came alone, each a batch, as in a quiet clinic.
const SINGLE: i64 = 100_000;
/// Batches of 250 entries after those: a million entries; a page that read them all would touch more than 100,000 blocks.
const BATCHES: i64 = 4_000;
/// Blocks of 8 KiB that a page of 21 entries may touch. A filter that one entry of a batch passes opens 22 batches, of 30 blocks each.
const MOST_BLOCKS: i64 = 1_000;

/// Mostly changes of patients, by 50 users, and few events of accounts.
const FILL_ENTRIES: &str = "
    insert into audit_entries (id, at, actor_id, action, resource, resource_id, outcome, ip) overriding system value
    select n * 1000, timestamptz '2000-01-01Z' + n * interval '1 h', 1 + n % 50, case when k % 100 = 0 then 'login' else 'update' end,
           case when k % 100 = 0 then 'session' when k % 7 = 0 then 'mapping' else 'patient' end,
           case when k % 100 = 0 then n else 1 + n % 5000 end, 'success', '127.0.0.1'
      from generate_series(1, $1::bigint) as n, lateral (select n / 50 as k) as round";

/// Mostly reads and lists of patients, by 50 users, one in two by the first; one batch in a thousand of refusals.
const FILL_BATCHES: &str = "
    insert into audit_batches (id, action, resource, at, actor_id, resource_id, resource_ids, ip, request_id, record_ids)
    select g * 1000, action, resource, at, actor_id, resource_id, resource_ids, ip, request_id,
           array(select unnest(array_remove(resource_id, null))
                  union select unnest(list::bigint[]) from unnest(resource_ids) as list)
      from generate_series($1::bigint, $2::bigint) as g,
           lateral (select case when g % 1000 = 7 then 'denied' when g % 3 = 0 then 'list' else 'read' end as action,
                           case when g % 500 = 7 then 'session' when g % 7 = 0 then 'mapping' else 'patient' end as resource)
             as kind,
           lateral (
             select array_agg(timestamptz '2000-01-01Z' + g * interval '1 h' + n * interval '371 us') as at,
                    array_agg(case when (g + n) % 2 = 0 then 1 else 1 + (g * 7 + n) % 50 end) as actor_id,
                    array_agg(case when action <> 'list' then record end) as resource_id,
                    array_agg(case when action = 'list' then array[record, record + 1, record + 2]::text end) as resource_ids,
                    array_agg(inet '127.0.0.1') as ip,
                    array_agg('4f3a9c21-' || to_hex(g * 250 + n)) as request_id
               from (select n, action, 1 + (g * 31 + n * 17) % 5000 as record from generate_series(1, $3::bigint) as n) as entry)
             as batch";

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
    sql.execute(FILL_ENTRIES, &[&SINGLE]).expect("entries");
    sql.execute(FILL_BATCHES, &[&(SINGLE + 1), &(2 * SINGLE), &1_i64]).expect("batches of one entry");
    let last = 2 * SINGLE + BATCHES;
    sql.execute(FILL_BATCHES, &[&(2 * SINGLE + 1), &last, &250_i64]).expect("batches");
    sql.batch_execute("insert into audit_entries (action, resource, resource_id) values ('create', 'doctor', 77)")
        .expect("one");
    let actors =
        "insert into audit_batch_actors (actor_id, batch_id) select distinct unnest(actor_id), id from audit_batches";
    sql.batch_execute(actors).expect("who is in which batch");
    for table in ["audit_entries", "audit_batches", "audit_batch_actors"] {
        sql.batch_execute(&format!("vacuum analyze {table}")).expect("statistics");
    }
    let page = Queries::load(None).expect("statements").audit.list.text.clone();
    let (actor, id) = (Some(8_i64), Some(4_321_i64));
    let filters: [Filter; 20] = [
        ("none", None, None, None, None),
        ("a user", actor, None, None, None),
        ("a user who did half of it", Some(1), None, None, None),
        ("a user who is not in batches", Some(3), None, None, None),
        ("a user who is not there", Some(999), None, None, None),
        ("frequent action", None, Some("read"), None, None),
        ("rare action", None, Some("login"), None, None),
        ("rare action in batches", None, Some("denied"), None, None),
        ("an action that never was", None, Some("unlock"), None, None),
        ("frequent resource", None, None, Some("patient"), None),
        ("rare resource", None, None, Some("session"), None),
        ("one record", None, None, Some("patient"), id),
        ("one record, any kind", None, None, None, id),
        ("a record that is not there", None, None, Some("patient"), Some(999_999)),
        ("the changes of a user", actor, Some("update"), Some("patient"), None),
        ("the reads of a user", actor, Some("read"), Some("patient"), None),
        ("the lists of a user", Some(1), Some("list"), Some("mapping"), None),
        ("what a user did with a record", Some(1), None, Some("patient"), id),
        ("who listed a record", None, Some("list"), Some("patient"), id),
        ("a user and a record that never met", Some(999), None, None, id),
    ];
    for (what, actor_id, action, resource, resource_id) in filters {
        // Among the batches, within one of them, among single entries, and among rows.
        for before in [i64::MAX, (last - BATCHES / 10) * 1_000 + 125, SINGLE * 1_500, SINGLE * 100] {
            // The two may be in other entries of a batch: those of the record are opened until the page is full.
            let most = if actor_id.is_some() && resource_id.is_some() { 4 * MOST_BLOCKS } else { MOST_BLOCKS };
            // All times, and ten hours among the rows, among single entries, and among the batches.
            for period in [None, Some(SINGLE / 2), Some(SINGLE * 3 / 2), Some(2 * SINGLE + BATCHES / 2)] {
                let at = |hours: i64| UNIX_EPOCH + Duration::from_secs(946_684_800 + 3_600 * hours.unsigned_abs());
                let (from, until) = (period.map(at), period.map(|hours| at(hours + 10)));
                let parameters: [(&(dyn ToSql + Sync), Type); 8] = [
                    (&before, Type::INT8),
                    (&21_i64, Type::INT8),
                    (&actor_id, Type::INT8),
                    (&action, Type::TEXT),
                    (&resource, Type::TEXT),
                    (&resource_id, Type::INT8),
                    (&from, Type::TIMESTAMPTZ),
                    (&until, Type::TIMESTAMPTZ),
                ];
                let touched = blocks(&mut sql, &page, &parameters);
                // A day on each side of the period is read as well.
                let most = if period.is_some() { 2 * most } else { most };
                assert!(touched < most, "{what}, before {before}, {period:?}: {touched} blocks");
            }
        }
    }
}

/// A month in which a batch of ten was written every 26 seconds, and a row every hour: a million entries. A day has 3,323 batches. They are stored in no
/// order, so that a batch costs a block, as in a large trail.
const FILL_MONTH: [&str; 3] = [
    "insert into audit_batches (id, action, resource, at, actor_id, resource_id, resource_ids, ip, request_id, record_ids)
     select g * 1000, case when g % 100 = 7 then 'list' else 'read' end, 'patient',
            array(select timestamptz '2000-01-01Z' + g * interval '26 s' + n * interval '50 ms' from generate_series(1, 10) n),
            array_fill(1, array[10]), array_fill(1 + g % 5000, array[10]), array_fill(null::text, array[10]),
            array_fill(inet '127.0.0.1', array[10]), array_fill('4f3a9c21'::text, array[10]), array[1 + g % 5000]
       from generate_series(1::bigint, 100000) g order by hashint8(g)",
    "insert into audit_entries (id, at, action, resource) overriding system value
     select n * 138462 + 1, timestamptz '2000-01-01Z' + n * interval '1 h', 'create', 'doctor' from generate_series(1, 722) n",
    "vacuum analyze audit_batches, audit_entries",
];

/// How many batches the statement of the page opened, and how many it read and passed over.
fn batches_opened(sql: &mut Client, page: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> (f64, f64) {
    let rows =
        sql.query_typed(&format!("explain (analyze, timing off, format json) {page}"), parameters).expect("a plan");
    let plan: Value = rows[0].get(0);
    let mut nodes = vec![&plan[0]["Plan"]];
    let (mut opened, mut passed) = (0.0, 0.0);
    while let Some(node) = nodes.pop() {
        if node["Alias"] == "entry" {
            opened += node["Actual Loops"].as_f64().expect("a number");
        }
        if node["Relation Name"] == "audit_batches" {
            passed += node["Rows Removed by Filter"].as_f64().unwrap_or(0.0);
        }
        nodes.extend(node["Plans"].as_array().into_iter().flatten());
    }
    (opened, passed)
}

#[test]
fn an_hour_of_a_month_is_read_without_the_days_around_it() {
    let app = TestApp::start();
    let mut sql = app.sql();
    for statement in FILL_MONTH {
        sql.batch_execute(statement).expect("a month");
    }
    let page = Queries::load(None).expect("statements").audit.list.text.clone();
    for hour in [0, 1, 300, 500, 721, 800] {
        let at = |hour: u64| UNIX_EPOCH + Duration::from_secs(946_684_800 + 3_600 * hour);
        for (from, until) in [(Some(at(hour)), Some(at(hour + 1))), (None, Some(at(hour))), (Some(at(hour)), None)] {
            for action in [None, Some("read"), Some("denied")] {
                for resource in [None, Some("patient"), Some("doctor")] {
                    let parameters: [(&(dyn ToSql + Sync), Type); 8] = [
                        (&i64::MAX, Type::INT8),
                        (&21_i64, Type::INT8),
                        (&None::<i64>, Type::INT8),
                        (&action, Type::TEXT),
                        (&resource, Type::TEXT),
                        (&None::<i64>, Type::INT8),
                        (&from, Type::TIMESTAMPTZ),
                        (&until, Type::TIMESTAMPTZ),
                    ];
                    let (opened, passed) = batches_opened(&mut sql, &page, &parameters);
                    let asked = format!("{from:?} to {until:?}, {action:?}, {resource:?}");
                    assert!(opened <= 200.0, "{asked}: {opened} batches opened");
                    // A thousand batches are lists.
                    assert!(passed <= 1_000.0, "{asked}: {passed} batches read and passed over");
                }
            }
        }
    }
}
