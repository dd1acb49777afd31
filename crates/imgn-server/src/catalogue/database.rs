//! The database under the catalogue, behind one kind of pool, transaction and statement of our own: the modules beside
//! this one name no driver.
//!
//! Not here: what is stored. Invariant: a statement is sent as it is written, and every value as a parameter.

use sqlx::{
    AssertSqlSafe, FromRow, SqlSafeStr as _, SqlStr, Sqlite, SqliteConnection, SqlitePool,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::CatalogueError;

/// A statement on the writer for what is under way: it outlives this process however that ends, but a power cut may
/// take the last of it back. A client that is told of it asks again whenever it goes on, and the store's list tells the
/// rest. It waits for no disk, which every request to open or to sign would do otherwise. How many rows it changed is
/// not known, for the count is of both statements: let it return what it wrote.
macro_rules! passing {
    ($statement:literal) => {
        $crate::catalogue::database::sql(concat!("PRAGMA synchronous = NORMAL; ", $statement))
    };
}
pub(in crate::catalogue) use passing;

/// What a row can be read as.
pub(super) trait Readable: for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}

impl<T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin> Readable for T {}

/// Connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
}

/// What is undone unless it is committed.
#[derive(Debug)]
pub(super) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
}

/// Where a statement is run.
pub(super) enum Target<'a> {
    SqlitePool(&'a SqlitePool),
    Sqlite(&'a mut SqliteConnection),
}

impl<'a> From<&'a Pool> for Target<'a> {
    fn from(pool: &'a Pool) -> Self {
        match pool {
            Pool::Sqlite(pool) => Self::SqlitePool(pool),
        }
    }
}

impl<'a> From<&'a mut Transaction> for Target<'a> {
    fn from(transaction: &'a mut Transaction) -> Self {
        match transaction {
            Transaction::Sqlite(transaction) => Self::Sqlite(transaction),
        }
    }
}

impl Pool {
    /// A transaction that may write, begun by this text.
    pub(super) async fn begin(&self, text: &'static str) -> Result<Transaction, CatalogueError> {
        Ok(match self {
            Self::Sqlite(pool) => Transaction::Sqlite(pool.begin_with(text).await?),
        })
    }

    /// One moment of the database, for several statements that read.
    pub(super) async fn snapshot(&self) -> Result<Transaction, CatalogueError> {
        Ok(match self {
            Self::Sqlite(pool) => Transaction::Sqlite(pool.begin().await?),
        })
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
        }
    }
}

impl Transaction {
    pub(super) async fn commit(self) -> Result<(), CatalogueError> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await?,
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
}

#[derive(Debug)]
enum Text {
    Fixed(&'static str),
    Built(String),
}

/// A statement that is the same for both databases.
pub(super) fn sql(text: &'static str) -> Sql {
    Sql {
        text: Text::Fixed(text),
        values: Vec::new(),
    }
}

impl Sql {
    /// One that [`push`](Self::push) goes on with.
    pub(super) fn built(text: &str) -> Self {
        Self {
            text: Text::Built(text.to_owned()),
            values: Vec::new(),
        }
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
            Target::SqlitePool(pool) => read_all(self.sqlite().fetch_all(pool).await?),
            Target::Sqlite(connection) => read_all(self.sqlite().fetch_all(connection).await?),
        };
        Ok(rows?)
    }

    /// The first row, when there is one.
    pub(super) async fn fetch_optional<'a, T: Readable>(
        self,
        target: impl Into<Target<'a>>,
    ) -> Result<Option<T>, CatalogueError> {
        let row = match target.into() {
            Target::SqlitePool(pool) => {
                let row = self.sqlite().fetch_optional(pool).await?;
                row.map(|row| T::from_row(&row)).transpose()
            }
            Target::Sqlite(connection) => {
                let row = self.sqlite().fetch_optional(connection).await?;
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

    /// How many rows it changed.
    pub(super) async fn execute<'a>(
        self,
        target: impl Into<Target<'a>>,
    ) -> Result<u64, CatalogueError> {
        Ok(match target.into() {
            Target::SqlitePool(pool) => self.sqlite().execute(pool).await?.rows_affected(),
            Target::Sqlite(connection) => self.sqlite().execute(connection).await?.rows_affected(),
        })
    }

    fn sqlite(self) -> Query<'static, Sqlite, SqliteArguments> {
        let text = match self.text {
            Text::Fixed(text) => text.into_sql_str(),
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

/// [`Sql::push`] takes this program's own texts only.
fn safe(text: String) -> SqlStr {
    AssertSqlSafe(text).into_sql_str()
}

fn read_all<'r, R: sqlx::Row, T: for<'a> FromRow<'a, R>>(
    rows: Vec<R>,
) -> Result<Vec<T>, sqlx::Error> {
    rows.iter().map(T::from_row).collect()
}
