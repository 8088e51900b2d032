//! One connection: four tasks, so that its client may leave while a held command still waits for the server.
//!
//! `listen` reads from the client, `pass` sends its commands on, `answer` reads replies, `write` gives them
//! to the client. A slot in [`Replies`] stands for each command, in the client's order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::fault::{Decision, Hold};
use super::replies::{Flow, Replies};
use super::rewrite;
use super::shared::{Shared, lock};
use super::wire::{self, Wire};
use crate::background;
use crate::resp::{self, Frame};

/// How the client's side ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Close,
    Reset,
}

/// What the client is to get next.
#[derive(Debug)]
pub(super) enum Out {
    Bytes { due: Instant, bytes: Vec<u8> },
    Close,
}

struct Connection {
    shared: Arc<Shared>,
    id: u64,
    end: watch::Sender<Option<End>>,
    /// A byte was lost: nothing passes any more.
    dead: AtomicBool,
    /// A login was lost: what comes behind it does not pass, and what came before is still answered.
    stalled: AtomicBool,
    replies: Arc<Mutex<Replies>>,
    out: mpsc::UnboundedSender<Out>,
}

type Upstream = Arc<tokio::sync::Mutex<OwnedWriteHalf>>;

/// Serves a client until its side has ended; a held command may live longer.
///
/// Says how many commands were not answered.
pub(super) async fn serve(
    client: TcpStream,
    shared: &Arc<Shared>,
    id: u64,
    end: watch::Sender<Option<End>>,
) -> usize {
    // Both sockets work without; replies only come later.
    let _ = client.set_nodelay(true);
    let settings = *shared.settings();
    match &shared.tls {
        None => carry(client, shared, id, end, false).await,
        // Nobody gets as far as a handshake.
        Some(_) if settings.swallow => carry(client, shared, id, end, true).await,
        Some(tls) => {
            tokio::time::sleep(settings.delay).await;
            match wire::shake_hands(tls, client, end.subscribe()).await {
                Some(client) => carry(client, shared, id, end, false).await,
                None => 0,
            }
        }
    }
}

async fn carry(
    client: impl Wire,
    shared: &Arc<Shared>,
    id: u64,
    end: watch::Sender<Option<End>>,
    is_dead: bool,
) -> usize {
    let (read, write) = tokio::io::split(client);
    let (out, inbox) = mpsc::unbounded_channel();
    let replies = Arc::new(Mutex::default());
    let connection = Arc::new(Connection {
        shared: shared.clone(),
        id,
        end: end.clone(),
        dead: AtomicBool::new(is_dead),
        stalled: AtomicBool::new(false),
        replies: Arc::clone(&replies),
        out,
    });
    let (bytes, chunks) = mpsc::unbounded_channel();
    background::spawn(connection.pass(chunks));
    let (read, write) = tokio::join!(
        listen(read, bytes, end.subscribe()),
        self::write(write, inbox, &end)
    );
    let how = *end.borrow();
    wire::end(read.unsplit(write), how).await;
    lock(&replies).unanswered()
}

/// Client → chunks, until the client's side ends.
async fn listen<W: Wire>(
    mut client: ReadHalf<W>,
    chunks: mpsc::UnboundedSender<Vec<u8>>,
    mut end: watch::Receiver<Option<End>>,
) -> ReadHalf<W> {
    let read = async {
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = client.read(&mut chunk).await {
            if chunks.send(chunk[..n].to_vec()).is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = end.wait_for(Option::is_some) => {}
        () = read => {}
    }
    client
}

/// Replies → client, until the client's side ends.
async fn write<W: Wire>(
    mut client: WriteHalf<W>,
    mut inbox: mpsc::UnboundedReceiver<Out>,
    end: &watch::Sender<Option<End>>,
) -> WriteHalf<W> {
    let mut ended = end.subscribe();
    let write = async {
        while let Some(Out::Bytes { due, bytes }) = inbox.recv().await {
            tokio::time::sleep_until(due).await;
            // TLS may keep bytes that the socket did not take at once.
            if client.write_all(&bytes).await.is_err() || client.flush().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = ended.wait_for(Option::is_some) => {}
        () = write => {}
    }
    end.send_if_modified(|end| {
        let first = end.is_none();
        end.get_or_insert(End::Close);
        first
    });
    client
}

impl Connection {
    fn replies(&self) -> MutexGuard<'_, Replies> {
        lock(&self.replies)
    }

    /// Whether bytes are lost here, now and from now on.
    fn loses(&self) -> bool {
        if self.shared.settings().swallow {
            self.die();
        }
        self.dead.load(Ordering::SeqCst)
    }

    fn die(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// Chunks → server, command by command.
    async fn pass(self: Arc<Self>, mut chunks: mpsc::UnboundedReceiver<Vec<u8>>) {
        let addr = self.shared.settings().upstream;
        let upstream = if self.loses() {
            None
        } else if let Ok(server) = TcpStream::connect(addr).await {
            let _ = server.set_nodelay(true);
            let (read, write) = server.into_split();
            background::spawn(self.clone().answer(read));
            Some(Arc::new(tokio::sync::Mutex::new(write)))
        } else {
            self.send(Out::Close);
            return;
        };
        let mut unread = Vec::new();
        let mut is_foreign = false;
        while let Some(chunk) = chunks.recv().await {
            unread.extend_from_slice(&chunk);
            while !unread.is_empty() {
                let frame = if is_foreign {
                    Frame::Foreign
                } else {
                    resp::command(&unread)
                };
                match frame {
                    Frame::Partial => break,
                    Frame::Whole(args, length) => {
                        let bytes = unread.drain(..length).collect();
                        self.command(args, bytes, upstream.as_ref()).await;
                    }
                    Frame::Foreign => {
                        is_foreign = true;
                        self.replies().flow = Flow::Raw;
                        if !self.loses() {
                            send_to(upstream.as_ref(), &unread).await;
                        }
                        unread.clear();
                    }
                }
            }
        }
        // The server sees the end when the last held command has gone the same way.
    }

    async fn command(
        self: &Arc<Self>,
        args: Vec<Vec<u8>>,
        bytes: Vec<u8>,
        upstream: Option<&Upstream>,
    ) {
        if args.is_empty() {
            // Redis answers an empty line with nothing.
            return;
        }
        let plan = self.shared.meet(&args);
        let bytes = self.shared.rewrites().apply(&args).unwrap_or(bytes);
        let login = self.shared.sessions().login(self.id, &args);
        if self.loses() {
            return;
        }
        let slot = self.replies().open(&args, login, plan.hold_reply, plan.cut);
        if login.is_some() {
            let settings = *self.shared.settings();
            if settings.cut_in_auth {
                self.die();
                self.end.send_replace(Some(End::Close));
            } else if settings.swallow_auth {
                self.stalled.store(true, Ordering::SeqCst);
            }
        }
        if self.stalled.load(Ordering::SeqCst) || self.loses() {
            return;
        }
        let Some(hold) = plan.hold else {
            self.forward(slot, &bytes, upstream).await;
            return;
        };
        hold.arrive(args);
        if hold.later_pass {
            let (connection, upstream) = (self.clone(), upstream.cloned());
            background::spawn(async move {
                connection
                    .decide(&hold, slot, &bytes, upstream.as_ref())
                    .await;
            });
        } else {
            self.decide(&hold, slot, &bytes, upstream).await;
        }
    }

    async fn decide(&self, hold: &Hold, slot: u64, bytes: &[u8], upstream: Option<&Upstream>) {
        match hold.decided().await {
            Decision::Release => self.forward(slot, bytes, upstream).await,
            // Nothing fills its slot, so nothing behind it is answered.
            Decision::Drop if hold.later_pass => {}
            Decision::Drop => self.die(),
            Decision::Reset => self.reset(),
        }
    }

    fn reset(&self) {
        self.die();
        self.end.send_replace(Some(End::Reset));
    }

    async fn forward(&self, slot: u64, bytes: &[u8], upstream: Option<&Upstream>) {
        let Some(upstream) = upstream else { return };
        let mut upstream = upstream.lock().await;
        self.replies().sent(slot);
        // A server that is gone shows in `answer`.
        let _ = upstream.write_all(bytes).await;
    }

    /// Server → slots → client.
    async fn answer(self: Arc<Self>, mut server: OwnedReadHalf) {
        let mut unread = Vec::new();
        while let Ok(1..) = server.read_buf(&mut unread).await {
            self.take_replies(&mut unread);
        }
        self.replies().server_is_gone = true;
        self.flush();
    }

    fn take_replies(self: &Arc<Self>, unread: &mut Vec<u8>) {
        while !unread.is_empty() {
            let is_raw = self.replies().is_raw();
            let frame = if is_raw {
                Frame::Foreign
            } else {
                resp::reply(unread)
            };
            match frame {
                Frame::Partial => break,
                Frame::Whole((), length) => {
                    let mut bytes: Vec<u8> = unread.drain(..length).collect();
                    let ahead = self.shared.settings().clock_ahead;
                    if ahead > 0 && self.replies().next_is_to(b"TIME") {
                        bytes = rewrite::later(bytes, ahead);
                    }
                    let filled = self.replies().fill(bytes);
                    if let Some(verdict) = filled.verdict {
                        self.shared.sessions().judge(self.id, verdict);
                    }
                    if let Some((hold, args)) = filled.held {
                        hold.arrive(args);
                        let connection = self.clone();
                        background::spawn(async move { connection.decide_reply(&hold).await });
                    }
                    self.flush();
                }
                Frame::Foreign => {
                    self.replies().flow = Flow::Raw;
                    let bytes = std::mem::take(unread);
                    self.replies().push_raw(bytes);
                    self.flush();
                }
            }
        }
    }

    async fn decide_reply(&self, hold: &Arc<Hold>) {
        match hold.decided().await {
            Decision::Release => {
                self.replies().release(hold);
                self.flush();
            }
            Decision::Drop => self.die(),
            Decision::Reset => self.reset(),
        }
    }

    /// Gives the client every reply whose turn it is.
    fn flush(&self) {
        // One lock for all: two tasks may flush, and the order is the client's.
        let mut replies = self.replies();
        while let Some((mut bytes, cut)) = replies.next() {
            if self.loses() {
                continue;
            }
            if let Some(cut) = &cut {
                bytes.truncate(cut.bytes);
            }
            let due = Instant::now() + self.delay();
            self.send(Out::Bytes { due, bytes });
            if let Some(cut) = cut {
                self.send(Out::Close);
                self.die();
                cut.happen();
            }
        }
        if replies.has_ended() && !self.dead.load(Ordering::SeqCst) {
            self.send(Out::Close);
        }
    }

    fn delay(&self) -> Duration {
        self.shared.settings().delay
    }

    fn send(&self, out: Out) {
        // Nobody takes it when the client has left.
        let _ = self.out.send(out);
    }
}

async fn send_to(upstream: Option<&Upstream>, bytes: &[u8]) {
    if let Some(upstream) = upstream {
        // A server that is gone shows in `answer`.
        let _ = upstream.lock().await.write_all(bytes).await;
    }
}
