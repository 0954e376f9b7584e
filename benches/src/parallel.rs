//! Who does which piece? Independent pieces of work, shared out among threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Does `work` for each of `pieces` on up to `jobs` threads; the results in the pieces' order.
/// They are begun in that order, too, so the longest are best placed first.
pub fn each<P: Sync, R: Send>(pieces: &[P], jobs: usize, work: impl Fn(&P) -> R + Sync) -> Vec<R> {
    let results: Vec<Mutex<Option<R>>> = pieces.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(pieces.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Relaxed);
                    let Some(piece) = pieces.get(at) else { return };
                    let result = work(piece);
                    *results[at].lock().expect("nobody panics with it") = Some(result);
                }
            });
        }
    });
    let done = |result: Mutex<Option<R>>| result.into_inner().expect("nobody panics with it");
    results.into_iter().map(|result| done(result).expect("every piece was taken")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_pieces() {
        let pieces: Vec<u32> = (0..100).collect();
        for jobs in [1, 3, 200] {
            assert_eq!(
                each(&pieces, jobs, |piece| piece * 2),
                pieces.iter().map(|p| p * 2).collect::<Vec<_>>()
            );
        }
        assert!(each(&[] as &[u32], 2, |_| ()).is_empty());
    }
}
