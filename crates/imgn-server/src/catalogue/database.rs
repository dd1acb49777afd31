//! The database under the catalogue: SQLite or PostgreSQL behind one kind of pool, transaction and statement.
//!
//! There is one body of SQL and not one for each database: nearly all of it means the same to both, also the numbered
//! parameters (`$1`), so what is learnt about a state is written once. Where the two differ, a statement has both texts
//! side by side, see [`either`] and [`passing`]. The texts are constants, which a connection prepares once.
//!
//! Not here: what is stored. Invariant: a statement is sent as it is written, and every value as a parameter, but for how many
//! rows are wanted at most.

use sqlx::{
    AssertSqlSafe, Connection as _, FromRow, Postgres, SqlSafeStr as _, SqlStr, Sqlite,
    SqliteConnection, SqlitePool,
    postgres::{PgArguments, PgRow},
    query::Query,
    sqlite::{SqliteArguments, SqlitePoolOptions, SqliteRow},
};

use std::sync::Arc;

use tokio::{
    sync::{Mutex, MutexGuard, OwnedMutexGuard},
    time::timeout,
};

use super::{
    BUSY_TIMEOUT, CatalogueError,
    reach::{Lent, Reached},
};
use crate::metrics;

/// A statement on the writer for what is under way: it outlives this process however that ends, but a power cut may
/// take the last of it back. A client that is told of it asks again whenever it goes on, and the store's list tells the
/// rest. It waits for no disk, which every request to open or to sign would do otherwise. How many rows it changed is
/// not known, for the count is of both statements: let it return what it wrote. PostgreSQL waits for its disk all the same,
/// once for all who commit at a time.
macro_rules! passing {
    ($($statement:tt)+) => {
        $crate::catalogue::database::either(
            concat!("PRAGMA synchronous = NORMAL; ", $($statement)+),
            concat!($($statement)+),
        )
    };
}
pub(in crate::catalogue) use passing;

/// A statement that has what is `due` for the one that asks, and does something to it at once. With PostgreSQL, another
/// server that asks at this moment passes over these rows and is not kept waiting; with SQLite one comes after the other.
macro_rules! claiming {
    ($due:literal, $statement:literal) => {
        $crate::catalogue::database::either(
            concat!("WITH due AS MATERIALIZED (", $due, ") ", $statement),
            concat!(
                "WITH due AS MATERIALIZED (",
                $due,
                " FOR UPDATE SKIP LOCKED) ",
                $statement
            ),
        )
    };
}
pub(in crate::catalogue) use claiming;

/// What a row can be read as.
pub(super) trait Readable:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> Readable for T where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

/// Connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    /// The one connection of SQLite's that writes what has a statement of its own, by turns with [`super::together`].
    SqliteWriter(SqlitePool, Turns),
    Postgres(Reached),
}

/// Whose turn it is to write with SQLite, among those of this process: first come, first served. SQLite would see to it too,
/// by letting all but one sleep for some milliseconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Mutex<()>>);

impl Turns {
    /// Waits for a turn, which ends with what is answered: as long as for another process's.
    pub(super) async fn next(&self) -> Result<OwnedMutexGuard<()>, CatalogueError> {
        let turn = timeout(BUSY_TIMEOUT, self.0.clone().lock_owned()).await;
        turn.map_err(|_| busy())
    }
}

/// What is undone unless it is committed.
#[derive(Debug)]
pub(super) enum Transaction {
    /// With the turn that it has, where it writes.
    Sqlite(
        sqlx::Transaction<'static, Sqlite>,
        Option<OwnedMutexGuard<()>>,
    ),
    Postgres(Lent),
}

/// Where a statement is run.
pub(super) enum Target<'a> {
    SqlitePool(&'a SqlitePool, Option<&'a Turns>),
    Sqlite(&'a mut SqliteConnection),
    PgPool(&'a Reached),
    Postgres(&'a mut Lent),
}

/// Options for a pool of SQLite's, of at most so many connections.
///
/// A full disk makes SQLite end a transaction by itself. Ending it once more fails, and from then on its connection counts
/// as in a transaction in which no other can begin: another takes its place.
pub(super) fn sqlite_pool(max_connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(max_connections)
        // Nothing lies between, and asking takes as long as reading a row does.
        .test_before_acquire(false)
        .before_acquire(|connection, _| {
            let is_usable = !connection.is_in_transaction();
            Box::pin(async move { Ok(is_usable) })
        })
}

impl<'a> From<&'a Pool> for Target<'a> {
    fn from(pool: &'a Pool) -> Self {
        match pool {
            Pool::Sqlite(pool) => Self::SqlitePool(pool, None),
            Pool::SqliteWriter(pool, turns) => Self::SqlitePool(pool, Some(turns)),
            Pool::Postgres(pool) => Self::PgPool(pool),
        }
    }
}

impl<'a> From<&'a mut Transaction> for Target<'a> {
    fn from(transaction: &'a mut Transaction) -> Self {
        match transaction {
            Transaction::Sqlite(transaction, _) => Self::Sqlite(transaction),
            Transaction::Postgres(transaction) => Self::Postgres(transaction),
        }
    }
}

impl Pool {
    /// A transaction that may write, begun by this text of SQLite's. With PostgreSQL it has one lock that all such
    /// transactions of all servers take and hold to their end: as with SQLite, what it reads after that is true when it
    /// commits.
    pub(super) async fn begin(&self, sqlite: &'static str) -> Result<Transaction, CatalogueError> {
        Ok(match self {
            Self::Sqlite(pool) => Transaction::Sqlite(pool.begin_with(sqlite).await?, None),
            Self::SqliteWriter(pool, turns) => {
                let turn = turns.next().await?;
                Transaction::Sqlite(pool.begin_with(sqlite).await?, Some(turn))
            }
            // "imgn" in ASCII.
            Self::Postgres(reached) => {
                let begun = "BEGIN; SELECT pg_advisory_xact_lock(1768777582)";
                Transaction::Postgres(reached.begin(begun).await?)
            }
        })
    }

    /// The same for statements that are each right whatever others commit meanwhile: without that lock.
    pub(super) async fn begin_beside_others(
        &self,
        sqlite: &'static str,
    ) -> Result<Transaction, CatalogueError> {
        match self {
            Self::Postgres(reached) => Ok(Transaction::Postgres(reached.begin("BEGIN").await?)),
            Self::Sqlite(_) | Self::SqliteWriter(..) => self.begin(sqlite).await,
        }
    }

    pub(super) fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// One moment of the database, for several statements that read.
    pub(super) async fn snapshot(&self) -> Result<Transaction, CatalogueError> {
        Ok(match self {
            Self::Sqlite(pool) | Self::SqliteWriter(pool, _) => {
                Transaction::Sqlite(pool.begin().await?, None)
            }
            Self::Postgres(reached) => {
                let begun = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                Transaction::Postgres(reached.begin(begun).await?)
            }
        })
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) | Self::SqliteWriter(pool, _) => pool.close().await,
            Self::Postgres(reached) => reached.pool().close().await,
        }
    }
}

impl Transaction {
    /// Lets each of its statements take as long as it needs.
    pub(super) async fn be_patient(&mut self) -> Result<(), CatalogueError> {
        match self {
            // SQLite has no bound to lift.
            Self::Sqlite(..) => Ok(()),
            Self::Postgres(lent) => Ok(lent.be_patient().await?),
        }
    }

    pub(super) async fn commit(self) -> Result<(), CatalogueError> {
        match self {
            Self::Sqlite(transaction, turn) => {
                transaction.commit().await?;
                drop(turn);
            }
            Self::Postgres(transaction) => transaction.commit().await?,
        }
        Ok(())
    }
}

/// A parameter of a statement.
#[derive(Debug)]
pub(super) enum Value {
    Bool(Option<bool>),
    Number(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        match self {
            Self::Bool(value) => value.to_sql(),
            Self::Number(value) => value.to_sql(),
            Self::Text(value) => value.to_sql(),
            Self::Bytes(value) => value.to_sql(),
        }
    }
}

/// How Rust's types become parameters, with and without an `Option` around them.
macro_rules! values {
    ($($kind:ident: $($from:ty),+ => $convert:expr;)+) => {
        $($(
            impl From<$from> for Value {
                fn from(value: $from) -> Self {
                    Self::$kind(Some($convert(value)))
                }
            }

            impl From<Option<$from>> for Value {
                fn from(value: Option<$from>) -> Self {
                    Self::$kind(value.map($convert))
                }
            }
        )+)+
    };
}

values! {
    Bool: bool => std::convert::identity;
    Number: i64, u32 => i64::from;
    Text: String, &str, &String => Into::into;
    Bytes: Vec<u8>, &[u8] => Into::into;
}

impl From<&Option<String>> for Value {
    fn from(value: &Option<String>) -> Self {
        Self::Text(value.clone())
    }
}

/// A statement and its parameters.
#[derive(Debug)]
pub(super) struct Sql {
    text: Text,
    values: Vec<Value>,
    /// Whether PostgreSQL decides anew each time how to read, by what is asked for.
    by_its_values: bool,
}

#[derive(Debug)]
enum Text {
    Fixed {
        sqlite: &'static str,
        postgres: &'static str,
    },
    Built(String),
}

/// A statement that is the same for both databases.
pub(super) fn sql(text: &'static str) -> Sql {
    either(text, text)
}

/// A statement that each of them has words of its own for.
pub(super) fn either(sqlite: &'static str, postgres: &'static str) -> Sql {
    Sql {
        text: Text::Fixed { sqlite, postgres },
        values: Vec::new(),
        by_its_values: false,
    }
}

impl Sql {
    /// One that [`push`](Self::push) goes on with.
    pub(super) fn built(text: &str) -> Self {
        Self {
            text: Text::Built(text.to_owned()),
            values: Vec::new(),
            by_its_values: false,
        }
    }

    /// How to read depends on the values, such as on how rare a word is.
    pub(super) fn decide_by_values(&mut self) -> &mut Self {
        self.by_its_values = true;
        self
    }

    /// Goes on with a text of this program's own.
    pub(super) fn push(&mut self, text: &'static str) -> &mut Self {
        if let Text::Built(built) = &mut self.text {
            built.push_str(text);
        }
        self
    }

    /// Goes on with a parameter.
    pub(super) fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        let number = self.values.len();
        if let Text::Built(built) = &mut self.text {
            built.push('$');
            built.push_str(&number.to_string());
        }
        self
    }

    /// Ends with how many rows are wanted at most, in the text. As a parameter PostgreSQL would take it for a tenth of all
    /// rows, think little of a plan for any value, and so plan a page of a large gallery anew each time it is asked for. There
    /// are a few texts and not one for each number, so more rows may come.
    pub(super) fn push_limit(&mut self, rows: u32) -> &mut Self {
        /// One more than people ask for, which is whether there are more.
        const USUAL: [u32; 7] = [11, 51, 101, 201, 501, 1001, 5001];
        let rows = USUAL
            .into_iter()
            .find(|usual| *usual >= rows)
            .unwrap_or(rows);
        if let Text::Built(built) = &mut self.text {
            built.push_str(" LIMIT ");
            built.push_str(&rows.to_string());
        }
        self
    }

    /// The next parameter.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// All rows.
    pub(super) async fn fetch_all<'a, T: Readable>(
        self,
        target: impl Into<Target<'a>>,
    ) -> Result<Vec<T>, CatalogueError> {
        let rows = match target.into() {
            Target::SqlitePool(pool, turns) => {
                let _turn = turn(turns).await?;
                read_all(self.sqlite().fetch_all(pool).await?)
            }
            Target::Sqlite(connection) => read_all(self.sqlite().fetch_all(connection).await?),
            Target::PgPool(reached) => {
                read_all(reached.lend().await?.fetch_all(self.postgres()).await?)
            }
            Target::Postgres(lent) => read_all(lent.fetch_all(self.postgres()).await?),
        };
        Ok(rows?)
    }

    /// The first row, when there is one.
    pub(super) async fn fetch_optional<'a, T: Readable>(
        self,
        target: impl Into<Target<'a>>,
    ) -> Result<Option<T>, CatalogueError> {
        let row = match target.into() {
            Target::SqlitePool(pool, turns) => {
                let _turn = turn(turns).await?;
                let row = self.sqlite().fetch_optional(pool).await?;
                row.map(|row| T::from_row(&row)).transpose()
            }
            Target::Sqlite(connection) => {
                let row = self.sqlite().fetch_optional(connection).await?;
                row.map(|row| T::from_row(&row)).transpose()
            }
            Target::PgPool(reached) => {
                let mut lent = reached.lend().await?;
                let row = lent.fetch_optional(self.postgres()).await?;
                row.map(|row| T::from_row(&row)).transpose()
            }
            Target::Postgres(lent) => {
                let row = lent.fetch_optional(self.postgres()).await?;
                row.map(|row| T::from_row(&row)).transpose()
            }
        };
        Ok(row?)
    }

    /// The row that is always there.
    pub(super) async fn fetch_one<'a, T: Readable>(
        self,
        target: impl Into<Target<'a>>,
    ) -> Result<T, CatalogueError> {
        self.fetch_optional(target)
            .await?
            .ok_or(CatalogueError::Database(sqlx::Error::RowNotFound))
    }

    /// The first column of the first row, when there is one.
    pub(super) async fn scalar_optional<'a, T>(
        self,
        target: impl Into<Target<'a>>,
    ) -> Result<Option<T>, CatalogueError>
    where
        (T,): Readable,
    {
        let row: Option<(T,)> = self.fetch_optional(target).await?;
        Ok(row.map(|(value,)| value))
    }

    /// The first column of the row that is always there.
    pub(super) async fn scalar<'a, T>(
        self,
        target: impl Into<Target<'a>>,
    ) -> Result<T, CatalogueError>
    where
        (T,): Readable,
    {
        let (value,): (T,) = self.fetch_one(target).await?;
        Ok(value)
    }

    /// The first column of all rows.
    pub(super) async fn scalars<'a, T>(
        self,
        target: impl Into<Target<'a>>,
    ) -> Result<Vec<T>, CatalogueError>
    where
        (T,): Readable,
    {
        let rows: Vec<(T,)> = self.fetch_all(target).await?;
        Ok(rows.into_iter().map(|(value,)| value).collect())
    }

    /// Whether there is a row; of a statement that writes, whether it wrote one and returns it.
    pub(super) async fn returns_a_row<'a>(
        self,
        target: impl Into<Target<'a>>,
    ) -> Result<bool, CatalogueError> {
        Ok(match target.into() {
            Target::SqlitePool(pool, turns) => {
                let _turn = turn(turns).await?;
                !self.sqlite().fetch_all(pool).await?.is_empty()
            }
            Target::Sqlite(connection) => !self.sqlite().fetch_all(connection).await?.is_empty(),
            Target::PgPool(reached) => {
                let mut lent = reached.lend().await?;
                let row = lent.fetch_optional(self.postgres()).await?;
                row.is_some()
            }
            Target::Postgres(lent) => {
                let row = lent.fetch_optional(self.postgres()).await?;
                row.is_some()
            }
        })
    }

    /// The same on a connection of this thread's own, which keeps the statement prepared.
    pub(super) fn returns_a_row_at_once(
        &self,
        connection: &rusqlite::Connection,
    ) -> rusqlite::Result<bool> {
        let text = match &self.text {
            Text::Fixed { sqlite, .. } => sqlite,
            Text::Built(text) => text.as_str(),
        };
        let mut statement = connection.prepare_cached(text)?;
        // To SQLite `$2` is a name, and numbered by where it stands first.
        for place in 1..=statement.parameter_count() {
            let number = statement.parameter_name(place);
            let number = number.and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok());
            let value = number.and_then(|number| self.values.get(number.checked_sub(1)?));
            let value = value.ok_or(rusqlite::Error::InvalidParameterCount(
                place,
                self.values.len(),
            ))?;
            statement.raw_bind_parameter(place, value)?;
        }
        let mut rows = statement.raw_query();
        let mut is_any = false;
        while rows.next()?.is_some() {
            is_any = true;
        }
        Ok(is_any)
    }

    /// How many rows it changed.
    pub(super) async fn execute<'a>(
        self,
        target: impl Into<Target<'a>>,
    ) -> Result<u64, CatalogueError> {
        Ok(match target.into() {
            Target::SqlitePool(pool, turns) => {
                let _turn = turn(turns).await?;
                self.sqlite().execute(pool).await?.rows_affected()
            }
            Target::Sqlite(connection) => self.sqlite().execute(connection).await?.rows_affected(),
            Target::PgPool(reached) => {
                let mut lent = reached.lend().await?;
                lent.execute(self.postgres()).await?.rows_affected()
            }
            Target::Postgres(lent) => lent.execute(self.postgres()).await?.rows_affected(),
        })
    }

    fn sqlite(self) -> Query<'static, Sqlite, SqliteArguments> {
        let text = match self.text {
            Text::Fixed { sqlite, .. } => sqlite.into_sql_str(),
            Text::Built(text) => safe(text),
        };
        let mut query = sqlx::query(text);
        for value in self.values {
            query = match value {
                Value::Bool(value) => query.bind(value),
                Value::Number(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
            };
        }
        query
    }
}

impl Sql {
    /// A text of PostgreSQL's cannot have the character NUL, which names and metadata from outside may.
    fn postgres(self) -> Query<'static, Postgres, PgArguments> {
        let text = match self.text {
            Text::Fixed { postgres, .. } => postgres.into_sql_str(),
            Text::Built(text) => safe(text),
        };
        let mut query = sqlx::query(text).persistent(!self.by_its_values);
        for value in self.values {
            query = match value {
                Value::Bool(value) => query.bind(value),
                Value::Number(value) => query.bind(value),
                Value::Text(value) => query.bind(value.map(|text| text.replace('\0', "\u{fffd}"))),
                Value::Bytes(value) => query.bind(value),
            };
        }
        query
    }
}

async fn turn(turns: Option<&Turns>) -> Result<Option<MutexGuard<'_, ()>>, CatalogueError> {
    let Some(turns) = turns else {
        return Ok(None);
    };
    let turn = timeout(BUSY_TIMEOUT, turns.0.lock()).await;
    turn.map(Some).map_err(|_| busy())
}

/// Others write for longer than anybody waits.
fn busy() -> CatalogueError {
    metrics::catalogue_failed(&CatalogueError::Busy);
    CatalogueError::Busy
}

/// [`Sql::push`] takes this program's own texts only.
fn safe(text: String) -> SqlStr {
    AssertSqlSafe(text).into_sql_str()
}

fn read_all<'r, R: sqlx::Row, T: for<'a> FromRow<'a, R>>(
    rows: Vec<R>,
) -> Result<Vec<T>, sqlx::Error> {
    rows.iter().map(T::from_row).collect()
}
