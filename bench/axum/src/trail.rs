//! The audit trail of reads, as the product keeps it: a bounded queue, written in batches of 1,000 or after half a second.

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
    Type::TIMESTAMPTZ_ARRAY,
    Type::INT8_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::INT8_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::INET_ARRAY,
    Type::TEXT_ARRAY,
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
        while write(&pool, &statement, &batch).await.is_err() {
            sleep(GATHER).await;
        }
        batch.clear();
    }
}

/// One statement for the batch: an array a column.
async fn write(pool: &Pool, statement: &str, batch: &[Entry]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    fn column<'a, T>(batch: &'a [Entry], value: impl Fn(&'a Entry) -> T) -> Vec<T> {
        batch.iter().map(value).collect()
    }
    let ids = |entry: &Entry| entry.resource_ids.as_ref().map(|ids| array_text(ids));
    let client = pool.get().await?;
    let statement = client.prepare_typed_cached(statement, &TYPES).await?;
    client
        .execute(
            &statement,
            &[
                &column(batch, |entry| entry.at),
                &column(batch, |entry| entry.actor_id),
                &column(batch, |entry| entry.action),
                &column(batch, |_| "patient"),
                &column(batch, |entry| entry.resource_id),
                &column(batch, ids),
                &column(batch, |_| "success"),
                &column(batch, |entry| entry.ip),
                &column(batch, |entry| entry.request_id.as_str()),
            ],
        )
        .await?;
    Ok(())
}

fn array_text(ids: &[i64]) -> String {
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    format!("{{{}}}", ids.join(","))
}
