//! A credential that notes when it is asked: what a client does to its credential is seen there, also
//! where no request reaches a provider.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};

/// One question to a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// When it was asked.
    pub began: Instant,
    /// When it was answered or given up; `None` while neither is so.
    pub ended: Option<Instant>,
    /// Whether an answer came.
    pub was_answered: bool,
}

/// Any credential, watched.
pub struct Watched {
    inner: Arc<dyn TokenCredential>,
    questions: Mutex<Vec<Question>>,
}

impl Watched {
    /// Watches this credential.
    #[must_use]
    pub fn new(inner: Arc<dyn TokenCredential>) -> Arc<Self> {
        let questions = Mutex::default();
        Arc::new(Self { inner, questions })
    }

    fn begin(&self) -> Ends<'_> {
        let mut questions = self.lock();
        questions.push(Question {
            began: Instant::now(),
            ended: None,
            was_answered: false,
        });
        Ends {
            of: self,
            place: questions.len() - 1,
            was_answered: false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Question>> {
        self.questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The questions so far, in order.
    #[must_use]
    pub fn questions(&self) -> Vec<Question> {
        self.lock().clone()
    }

    /// How many questions there were.
    #[must_use]
    pub fn times(&self) -> usize {
        self.lock().len()
    }

    /// How many questions are neither answered nor given up.
    #[must_use]
    pub fn in_progress(&self) -> usize {
        self.lock().iter().filter(|q| q.ended.is_none()).count()
    }

    /// The time from each question's end to the next one.
    ///
    /// # Panics
    ///
    /// Panics where one was asked before the last one had ended.
    #[must_use]
    pub fn pauses(&self) -> Vec<Duration> {
        let questions = self.lock();
        let pairs = questions.windows(2);
        let pause = |pair: &[Question]| {
            let since = pair[0].ended.filter(|ended| *ended <= pair[1].began);
            pair[1].began - since.expect("one question at a time")
        };
        pairs.map(pause).collect()
    }
}

#[async_trait::async_trait]
impl TokenCredential for Watched {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let mut ends = self.begin();
        let answer = self.inner.get_token(scopes, options).await;
        ends.was_answered = true;
        answer
    }
}

/// Notes the end of a question, also of one that is dropped or panics.
struct Ends<'a> {
    of: &'a Watched,
    place: usize,
    was_answered: bool,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        let question = &mut self.of.lock()[self.place];
        question.ended = Some(Instant::now());
        question.was_answered = self.was_answered;
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("inner", &self.inner)
            .field("questions", &self.lock().len())
            .finish()
    }
}
