//! Pages of a file, read through a cache by many threads and written through it: quick_cache's
//! `get_or_insert_with` and `get_value_or_guard`.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};

mod with_hotset;
mod with_quick_cache;

pub const PAGE: usize = 16;

/// What went wrong with a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSuchPage(pub u64);

/// A disk that counts its reads.
pub struct Disk {
    bytes: Mutex<Vec<u8>>,
    pub reads: AtomicUsize,
}

impl Disk {
    fn new(pages: usize) -> Arc<Self> {
        let bytes = (0..pages * PAGE).map(|at| (at / PAGE) as u8).collect();
        Arc::new(Self { bytes: Mutex::new(bytes), reads: AtomicUsize::new(0) })
    }

    pub fn read(&self, page: u64) -> Result<Arc<[u8]>, NoSuchPage> {
        self.reads.fetch_add(1, SeqCst);
        let bytes = self.bytes.lock().unwrap();
        let at = page as usize * PAGE;
        bytes.get(at..at + PAGE).map(Arc::from).ok_or(NoSuchPage(page))
    }

    pub fn write(&self, page: u64, bytes: &[u8]) {
        let at = page as usize * PAGE;
        self.bytes.lock().unwrap()[at..at + PAGE].copy_from_slice(bytes);
    }
}

/// What the script sees of the programs.
trait Pages: Sync {
    fn read(&self, page: u64) -> Result<Arc<[u8]>, NoSuchPage>;
    fn read_if_cached(&self, page: u64) -> Option<Arc<[u8]>>;
    fn write(&self, page: u64, bytes: &[u8]);
    fn drop_pages_from(&self, first: u64);
    fn len(&self) -> usize;
}

/// Gives a program to the script.
macro_rules! program {
    ($name:ty) => {
        impl Pages for $name {
            fn read(&self, page: u64) -> Result<Arc<[u8]>, NoSuchPage> {
                self.read(page)
            }

            fn read_if_cached(&self, page: u64) -> Option<Arc<[u8]>> {
                self.read_if_cached(page)
            }

            fn write(&self, page: u64, bytes: &[u8]) {
                self.write(page, bytes);
            }

            fn drop_pages_from(&self, first: u64) {
                self.drop_pages_from(first);
            }

            fn len(&self) -> usize {
                self.len()
            }
        }
    };
}

program!(with_quick_cache::Pages);
program!(with_hotset::Pages);

const PAGES: u64 = 50;

fn script(pages: &dyn Pages, disk: &Disk) -> Vec<String> {
    let mut seen = Vec::new();
    let reads = || disk.reads.load(SeqCst);
    // Every thread reads every page, each from another one on.
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                for n in 0..PAGES {
                    let page = (n + thread * 7) % PAGES;
                    assert_eq!(*pages.read(page).unwrap(), [page as u8; PAGE]);
                }
            });
        }
    });
    seen.push(format!("{} pages, {} reads of the disk", pages.len(), reads()));
    seen.push(format!("past the end: {:?}", pages.read(1_000)));
    seen.push(format!("past the end again: {:?}, {} reads", pages.read(1_000), reads()));
    pages.write(3, &[99; PAGE]);
    seen.push(format!("written: {:?}, {} reads", pages.read(3), reads()));
    pages.drop_pages_from(10);
    seen.push(format!("{} pages, {:?} of page 20", pages.len(), pages.read_if_cached(20)));
    seen.push(format!("page 20: {:?}, {} reads", pages.read(20), reads()));
    seen
}

#[test]
fn they_read_the_same() {
    let disk = Disk::new(PAGES as usize);
    let quick = script(&with_quick_cache::Pages::new(1_000, Arc::clone(&disk)), &disk);
    let disk = Disk::new(PAGES as usize);
    let hotset = script(&with_hotset::Pages::new(1_000, Arc::clone(&disk)), &disk);
    assert_eq!(quick, hotset);
    assert_eq!(hotset[0], "50 pages, 50 reads of the disk");
    assert_eq!(hotset[2], "past the end again: Err(NoSuchPage(1000)), 52 reads");
    assert!(hotset[3].ends_with("53 reads"), "{}", hotset[3]);
    assert_eq!(hotset[4], "10 pages, None of page 20");
}
