//! `upload`: files, folders and standard input into the journal, and their lines in the order given.

use std::{
    collections::VecDeque,
    io::Cursor,
    path::{Path, PathBuf},
};

use anyhow::Result;
use imgn_core::{App, Batch, Folders, Intake, Origin, Taken};

use imgn_desk::{Clip, pasted_names, read_clipboard};
use jiff::Zoned;

use crate::{
    args::Format,
    follow::{Follow, Pending},
    output::Output,
};

/// What is to be uploaded.
pub(crate) struct Named {
    pub(crate) paths: Vec<PathBuf>,
    /// And what is on the clipboard.
    pub(crate) clipboard: bool,
}

/// What stands for a picture on the clipboard in place of a path.
const CLIPBOARD: &str = "clipboard";

pub(crate) async fn upload(
    app: &App,
    output: &Output,
    Named {
        mut paths,
        clipboard,
    }: Named,
    folders: Folders,
    format: &Format,
) -> Result<bool> {
    let events = app.events();
    let gallery = app.gallery().await?;
    // Whoever goes on with it after this program gives its links to whoever is at the computer.
    let act = Batch::new(Origin::Person);
    let mut pending = VecDeque::new();
    let mut intake = Intake::default();
    let mut pasted = Vec::new();
    let mut is_read = true;
    if clipboard {
        match read_clipboard().await {
            Ok(Clip::Files(files)) => paths.extend(files),
            Ok(Clip::Pictures(pictures)) => pasted = pictures,
            // What was named beside it goes up all the same.
            Err(error) => {
                output.error(&error);
                is_read = false;
            }
        }
    }
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
                let taken = app
                    .enqueue_stream(&gallery, std::io::stdin(), "stdin", act)
                    .await;
                taken.map(|mut taken| {
                    for file in &mut taken {
                        file.path.clone_from(path);
                    }
                    take(taken);
                })
            }
            files => app
                .enqueue(&gallery, files.to_vec(), folders, act, &mut take)
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
    for (picture, stem) in pasted.into_iter().zip(pasted_names(&Zoned::now())) {
        let path = PathBuf::from(CLIPBOARD);
        match app
            .enqueue_stream(&gallery, Cursor::new(picture), &stem, act)
            .await
        {
            Ok(taken) => pending.extend(taken.into_iter().map(|Taken { id, .. }| Pending {
                path: path.clone(),
                taken: Ok(id),
            })),
            Err(error) => {
                output.error(&error);
                let taken = Err(error);
                pending.push_back(Pending { path, taken });
            }
        }
    }
    tell_skipped(output, &intake);
    let followed = Follow::new(app, output, format).run(pending, events);
    Ok(followed.await? && is_read && intake.unreadable.is_empty())
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
