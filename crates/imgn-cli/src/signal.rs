//! The wish to stop: Ctrl-C, or SIGTERM.
//!
//! Not what follows from it. Invariant: once it has been waited for, neither ends the process by itself any more.

/// Ends when somebody wants this program to stop.
pub(crate) async fn stop_signal() {
    #[cfg(unix)]
    if let Ok(mut terminate) =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}
