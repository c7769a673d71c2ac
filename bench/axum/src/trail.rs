//! The audit trail of reads, as the product keeps it: a bounded queue, written in batches of 1,000 or after half a second, those of
//! a kind in one row.

use std::time::Duration;

use deadpool_postgres::Pool;
use jiff::Timestamp;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::types::Type;

use crate::access::Caller;

const CAPACITY: usize = 8_000;
const BATCH: usize = 1_000;
const GATHER: Duration = Duration::from_millis(500);
/// As the file declares them.
const TYPES: [Type; 9] = [
    Type::TEXT,
    Type::TEXT,
    Type::TIMESTAMPTZ_ARRAY,
    Type::INT8_ARRAY,
    Type::INT8_ARRAY,
    Type::TEXT_ARRAY,
    Type::INET_ARRAY,
    Type::TEXT_ARRAY,
    Type::INT8_ARRAY,
];

/// The end of the queue that handlers see.
pub struct Trail(Sender<Entry>);

struct Entry {
    at: Timestamp,
    actor_id: i64,
    action: &'static str,
    resource_id: Option<i64>,
    resource_ids: Option<Vec<i64>>,
    ip: std::net::IpAddr,
    request_id: String,
}

impl Trail {
    pub fn start(pool: Pool, statement: String) -> Trail {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        tokio::spawn(write_batches(pool, statement, receiver));
        Trail(sender)
    }

    pub async fn read(&self, caller: &Caller, id: i64) {
        self.add(caller, "read", Some(id), None).await;
    }

    pub async fn list(&self, caller: &Caller, ids: Vec<i64>) {
        self.add(caller, "list", None, Some(ids)).await;
    }

    async fn add(
        &self,
        caller: &Caller,
        action: &'static str,
        resource_id: Option<i64>,
        resource_ids: Option<Vec<i64>>,
    ) {
        let entry = Entry {
            at: Timestamp::now(),
            actor_id: caller.user_id,
            action,
            resource_id,
            resource_ids,
            ip: caller.address,
            request_id: caller.request_id.0.clone(),
        };
        // The writer lives as long as the process.
        let _ = self.0.send(entry).await;
    }
}

async fn write_batches(pool: Pool, statement: String, mut queue: Receiver<Entry>) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let gathered_at = Instant::now() + GATHER;
        while batch.len() < BATCH {
            let wanted = BATCH - batch.len();
            if timeout_at(gathered_at, queue.recv_many(&mut batch, wanted)).await.is_err() {
                break;
            }
        }
        while let Some(action) = batch.first().map(|entry| entry.action) {
            let of_kind: Vec<&Entry> = batch.iter().filter(|entry| entry.action == action).collect();
            match write(&pool, &statement, action, &of_kind).await {
                Ok(()) => batch.retain(|entry| entry.action != action),
                Err(_) => sleep(GATHER).await,
            }
        }
    }
}

/// One row for entries of one kind: an array a column.
async fn write(
    pool: &Pool,
    statement: &str,
    action: &str,
    batch: &[&Entry],
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    fn column<'a, T>(batch: &[&'a Entry], value: impl Fn(&'a Entry) -> T) -> Vec<T> {
        batch.iter().map(|entry| value(entry)).collect()
    }
    let ids = |entry: &Entry| entry.resource_ids.as_ref().map(|ids| array_text(ids));
    let ids_of = batch.iter().flat_map(|entry| entry.resource_id.iter().chain(entry.resource_ids.iter().flatten()));
    let mut record_ids: Vec<i64> = ids_of.copied().collect();
    record_ids.sort_unstable();
    record_ids.dedup();
    let client = pool.get().await?;
    let statement = client.prepare_typed_cached(statement, &TYPES).await?;
    client
        .execute(
            &statement,
            &[
                &action,
                &"patient",
                &column(batch, |entry| entry.at),
                &column(batch, |entry| entry.actor_id),
                &column(batch, |entry| entry.resource_id),
                &column(batch, ids),
                &column(batch, |entry| entry.ip),
                &column(batch, |entry| entry.request_id.as_str()),
                &record_ids,
            ],
        )
        .await?;
    Ok(())
}

fn array_text(ids: &[i64]) -> String {
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    format!("{{{}}}", ids.join(","))
}
