//! One task writes for all: what is to be saved while a commit is under way goes into the next one together, so that
//! many uploads at once share the disk's syncs. Each waits for the commit with its own state in it.
//!
//! Sums of parts wait for nothing: they ride along, or go by themselves after a moment.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sqlx::SqlitePool;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::{JournalError, now_ms};

/// Where an upload stands, ready to be written.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) ended: bool,
}

/// The sum of a part, ready to be written.
pub(super) struct PartRow {
    pub(super) upload: String,
    pub(super) session: String,
    pub(super) number: u32,
    pub(super) checksum: String,
    pub(super) is_stored: bool,
}

enum Order {
    Save(Row, oneshot::Sender<Result<(), sqlx::Error>>),
    Remember(PartRow),
}

pub(super) struct Writer {
    orders: Mutex<Option<mpsc::UnboundedSender<Order>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Begins a transaction that is on the disk when it is committed.
pub(super) const DURABLY: &str = "PRAGMA synchronous = FULL; BEGIN IMMEDIATE";

/// Begins one that outlives the program, and waits for no disk.
pub(super) const PASSING: &str = "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE";

/// How long sums of parts wait for company.
const MOMENT: Duration = Duration::from_millis(300);

/// More than this is not put into one commit.
const BATCH: usize = 1024;

impl Writer {
    pub(super) fn start(pool: SqlitePool) -> Self {
        let (orders, received) = mpsc::unbounded_channel();
        Self {
            orders: Mutex::new(Some(orders)),
            task: Mutex::new(Some(tokio::spawn(write(pool, received)))),
        }
    }

    pub(super) async fn save(&self, row: Row) -> Result<(), JournalError> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Save(row, answer));
        // A writer that is gone was closed.
        let result = answered.await.unwrap_or(Err(sqlx::Error::PoolClosed));
        Ok(result?)
    }

    pub(super) fn remember(&self, part: PartRow) {
        self.order(Order::Remember(part));
    }

    /// Writes what was ordered; nothing can be ordered afterwards.
    pub(super) async fn finish(&self) {
        drop(lock(&self.orders).take());
        let task = lock(&self.task).take();
        if let Some(task) = task {
            // It does not panic; were it so, there would be nothing left to write.
            let _ = task.await;
        }
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &*lock(&self.orders) {
            // It listens for as long as anybody can order.
            let _ = orders.send(order);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing that holds it can panic halfway through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn write(pool: SqlitePool, mut orders: mpsc::UnboundedReceiver<Order>) {
    let mut parts = Vec::new();
    let mut due = Instant::now();
    loop {
        let first = if parts.is_empty() {
            let first = orders.recv().await;
            due = Instant::now() + MOMENT;
            first
        } else {
            match timeout_at(due, orders.recv()).await {
                Ok(order) => order,
                Err(_) => {
                    remember(&pool, &mut parts).await;
                    continue;
                }
            }
        };
        let Some(first) = first else {
            remember(&pool, &mut parts).await;
            return;
        };
        let mut next = Some(first);
        let (mut rows, mut answers) = (Vec::new(), Vec::new());
        while let Some(order) = next {
            match order {
                Order::Save(row, answer) => {
                    rows.push(row);
                    answers.push(answer);
                }
                Order::Remember(part) => parts.push(part),
            }
            next = if rows.len() < BATCH {
                orders.try_recv().ok()
            } else {
                None
            };
        }
        if rows.is_empty() {
            continue;
        }
        let committed = commit(&pool, DURABLY, &rows, &parts).await;
        // What could not be written is no loss: it would be made again.
        parts.clear();
        if committed.is_ok() {
            for answer in answers {
                let _ = answer.send(Ok(()));
            }
            continue;
        }
        // Each hears its own error, and none suffers for another's row.
        for (row, answer) in rows.iter().zip(answers) {
            let saved = commit(&pool, DURABLY, std::slice::from_ref(row), &[]).await;
            let _ = answer.send(saved);
        }
    }
}

async fn remember(pool: &SqlitePool, parts: &mut Vec<PartRow>) {
    if parts.is_empty() {
        return;
    }
    if let Err(error) = commit(pool, PASSING, &[], parts).await {
        tracing::debug!("sums of parts were not written ({error}); they would be made again");
    }
    parts.clear();
}

/// One transaction, begun by [`DURABLY`] or [`PASSING`].
pub(super) async fn commit(
    pool: &SqlitePool,
    begin: &'static str,
    rows: &[Row],
    parts: &[PartRow],
) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin_with(begin).await?;
    let now = now_ms();
    for part in parts {
        // Of an upload that was forgotten meanwhile nothing is kept.
        sqlx::query(
            "INSERT OR REPLACE INTO parts (upload, session, number, checksum, stored) \
             SELECT id, ?, ?, ?, ? FROM uploads WHERE id = ? AND ended = 0",
        )
        .bind(&part.session)
        .bind(part.number)
        .bind(&part.checksum)
        .bind(part.is_stored)
        .bind(&part.upload)
        .execute(&mut *transaction)
        .await?;
    }
    for row in rows {
        sqlx::query("UPDATE uploads SET state = ?, ended = ?, updated_at = ? WHERE id = ?")
            .bind(&row.state)
            .bind(row.ended)
            .bind(now)
            .bind(&row.id)
            .execute(&mut *transaction)
            .await?;
        if row.ended {
            sqlx::query("DELETE FROM parts WHERE upload = ?")
                .bind(&row.id)
                .execute(&mut *transaction)
                .await?;
        }
    }
    transaction.commit().await
}
