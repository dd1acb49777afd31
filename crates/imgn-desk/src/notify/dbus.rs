//! Notifications of Linux desktops (`org.freedesktop.Notifications` 1.2).

use std::{collections::HashMap, future::Future, time::Duration};

use futures_util::{StreamExt as _, stream};
use tokio::sync::Mutex;
use zbus::{Connection, proxy, proxy::CacheProperties, zvariant::Value};

use super::{Heard, Notice, NoticeId};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[proxy(
    interface = "org.freedesktop.Notifications",
    default_service = "org.freedesktop.Notifications",
    default_path = "/org/freedesktop/Notifications",
    gen_blocking = false
)]
trait Notifications {
    fn get_capabilities(&self) -> zbus::Result<Vec<String>>;

    #[expect(clippy::too_many_arguments, reason = "the interface has them")]
    fn notify(
        &self,
        app_name: &str,
        replaces_id: u32,
        app_icon: &str,
        summary: &str,
        body: &str,
        actions: &[&str],
        hints: HashMap<&str, Value<'_>>,
        expire_timeout: i32,
    ) -> zbus::Result<u32>;

    fn close_notification(&self, id: u32) -> zbus::Result<()>;
}

/// The session's notifications. What it knows of the server it forgets when that fails, and asks anew the next time.
#[derive(Default)]
pub(crate) struct Notifier(Mutex<Option<NotificationsProxy<'static>>>);

impl Notifier {
    async fn proxy(&self) -> Option<NotificationsProxy<'static>> {
        let mut kept = self.0.lock().await;
        if kept.is_none() {
            let connected = within(async {
                let connection = Connection::session().await?;
                let builder = NotificationsProxy::builder(&connection);
                builder.cache_properties(CacheProperties::No).build().await
            });
            *kept = connected.await;
        }
        kept.clone()
    }

    /// The answer; where there is none in time, the server is looked for again the next time.
    async fn ask<T>(&self, asked: impl Future<Output = zbus::Result<T>>) -> Option<T> {
        let answer = within(asked).await;
        if answer.is_none() {
            *self.0.lock().await = None;
        }
        answer
    }

    /// Shows one; none where nothing shows them.
    pub(crate) async fn show(&self, notice: Notice<'_>) -> Option<NoticeId> {
        let proxy = self.proxy().await?;
        // Each time: another server may have taken the place of the one of before.
        let abilities = self.ask(proxy.get_capabilities()).await?;
        let has = |name| abilities.iter().any(|ability| ability == name);
        let mut hints = HashMap::from([
            ("desktop-entry", Value::from(crate::APP_ID)),
            ("category", Value::from("transfer.complete")),
        ]);
        if let Some(url) = notice
            .picture
            .and_then(|path| url::Url::from_file_path(path).ok())
        {
            hints.insert("image-path", Value::from(String::from(url)));
        }
        let offered = notice.actions.iter().filter(|_| has("actions"));
        let actions: Vec<&str> = offered.flat_map(|(name, words)| [*name, *words]).collect();
        let body = if has("body-markup") {
            escaped(notice.body)
        } else {
            notice.body.to_owned()
        };
        // As long as the desktop has them stay.
        let shown = proxy.notify(
            "imgn",
            0,
            "imgn-desktop",
            notice.summary,
            &body,
            &actions,
            hints,
            -1,
        );
        self.ask(shown).await.map(NoticeId)
    }

    /// Takes one away.
    pub(crate) async fn close(&self, id: NoticeId) {
        if let Some(proxy) = self.proxy().await {
            // It may be gone already.
            let _ = within(proxy.close_notification(id.0)).await;
        }
    }

    /// What is heard of notifications from now on, for as long as the bus has it.
    pub(crate) async fn heard(&self) -> Option<stream::BoxStream<'static, Heard>> {
        let proxy = self.proxy().await?;
        // All by one stream: a press is told before what it was on is closed.
        let signals = self.ask(proxy.inner().receive_all_signals()).await?;
        let heard = signals.filter_map(async |signal| {
            let header = signal.header();
            match header.member()?.as_str() {
                "ActionInvoked" => {
                    let (id, action) = signal.body().deserialize::<(u32, String)>().ok()?;
                    Some(Heard::Pressed(NoticeId(id), action))
                }
                "NotificationClosed" => {
                    let (id, _reason) = signal.body().deserialize::<(u32, u32)>().ok()?;
                    Some(Heard::Closed(NoticeId(id)))
                }
                _ => None,
            }
        });
        Some(heard.boxed())
    }
}

async fn within<T>(asked: impl Future<Output = zbus::Result<T>>) -> Option<T> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::info!("notifications: {error}");
            None
        }
        Err(_) => {
            tracing::warn!("what shows notifications does not answer");
            None
        }
    }
}

/// The body may hold markup; a file name is none.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
