//! `upload`: files, folders and standard input into the journal, and their lines in the order given.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use anyhow::Result;
use imgn_core::{App, Folders, Intake, LinkFormat, Taken};

use crate::{
    follow::{Follow, Pending},
    output::Output,
};

pub(crate) async fn upload(
    app: &App,
    output: &Output,
    paths: Vec<PathBuf>,
    folders: Folders,
    format: &LinkFormat,
) -> Result<bool> {
    let events = app.events();
    let mut pending = VecDeque::new();
    let mut intake = Intake::default();
    for group in paths.chunk_by(|a, b| !is_stdin(a) && !is_stdin(b)) {
        let before = pending.len();
        let mut take = |taken: Vec<Taken>| {
            pending.extend(taken.into_iter().map(|Taken { path, id }| Pending {
                path,
                taken: Ok(id),
            }));
        };
        let failed = match group {
            [path] if is_stdin(path) => {
                let taken = app.enqueue_stream(std::io::stdin(), "stdin").await;
                taken.map(|mut taken| {
                    for file in &mut taken {
                        file.path.clone_from(path);
                    }
                    take(taken);
                })
            }
            files => app
                .enqueue(files.to_vec(), folders, &mut take)
                .await
                .map(|found| add(&mut intake, found)),
        };
        // What was taken before is on its way, and what comes after may still be taken.
        if let Err(error) = failed {
            output.error(&error);
            let is_taken = |path: &&PathBuf| {
                !pending
                    .iter()
                    .skip(before)
                    .any(|it: &Pending| it.path == **path)
            };
            let left: Vec<_> = group.iter().filter(is_taken).cloned().collect();
            pending.extend(left.into_iter().map(|path| Pending {
                path,
                taken: Err(error.clone()),
            }));
        }
    }
    tell_skipped(output, &intake);
    let followed = Follow::new(app, output, format).run(pending, events);
    Ok(followed.await? && intake.unreadable.is_empty())
}

fn add(sum: &mut Intake, more: Intake) {
    sum.pictures += more.pictures;
    sum.other_files += more.other_files;
    sum.linked_folders += more.linked_folders;
    sum.unreadable.extend(more.unreadable);
}

fn tell_skipped(output: &Output, intake: &Intake) {
    for folder in &intake.unreadable {
        let (path, reason) = (folder.path.display(), &folder.reason);
        output.error(format!(
            "{path}: the folder cannot be read ({reason}); nothing in it was uploaded"
        ));
    }
    let mut skipped = Vec::new();
    if intake.other_files > 0 {
        skipped.push(counted(intake.other_files, "other file"));
    }
    if intake.linked_folders > 0 {
        skipped.push(counted(intake.linked_folders, "link to a folder"));
    }
    if !skipped.is_empty() {
        let pictures = counted(intake.pictures, "picture");
        output.note(format!("{pictures}; {} skipped", skipped.join(" and ")));
    }
}

fn counted(count: u32, what: &str) -> String {
    match (count, what.split_once(' ')) {
        (1, _) => format!("1 {what}"),
        (_, Some(("link", rest))) => format!("{count} links {rest}"),
        _ => format!("{count} {what}s"),
    }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}
