//! What was promised, what was seen, and did it hold? The table, and the verdict.

use std::time::Duration;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};

use super::traffic::{self, BUDGET, CLIENTS, Traffic};
use super::trials::{Beside, Broken, Calm, Deserted, Ended, Swapped};

/// What a daemon may take beside its backends: threads, connections, buffers of 64 requests.
const OVERHEAD: u64 = 64 << 20;
/// How much slower than on an idle daemon a hit may be while others load and close.
const FACTOR: u32 = 2;
const SLACK: Duration = Duration::from_millis(5);
/// Below any wait for a load or a close of two seconds, above what a busy machine does to anybody.
const STALL: Duration = Duration::from_millis(1_000);
const HEALTH: Duration = Duration::from_millis(5);
/// Of the table, in characters.
const WIDTH: u16 = 140;
const DRAIN: Duration = Duration::from_secs(10);

/// All that was seen of one cache.
pub struct Findings {
    pub traffic: Traffic,
    pub calm: Calm,
    pub single_flight: u64,
    pub broken: Broken,
    pub deserted: Deserted,
    pub swapped: Swapped,
    pub stays_open: bool,
    pub ended: Ended,
}

/// One line of the table.
struct Promise {
    what: String,
    seen: fn(&Findings) -> String,
    kept: fn(&Findings) -> bool,
}

fn promises() -> Vec<Promise> {
    let promise = |what: &str, seen, kept| Promise { what: what.into(), seen, kept };
    let budget = traffic::budget_mib();
    vec![
        Promise {
            what: format!("{CLIENTS} clients, 12 models: never more than {BUDGET} backends alive"),
            seen: |f| format!("most {}", f.traffic.most_alive),
            kept: |f| f.traffic.most_alive <= BUDGET,
        },
        Promise {
            what: format!(
                "peak memory within {budget} MiB of budget and {} MiB of overhead",
                OVERHEAD >> 20
            ),
            seen: |f| match f.traffic.resident {
                Some((before, most)) => format!("{} MiB more", (most.saturating_sub(before)) >> 20),
                None => "not told by this system".into(),
            },
            kept: |f| {
                f.traffic.resident.is_none_or(|(before, most)| {
                    most.saturating_sub(before) <= (traffic::budget_mib() << 20) + OVERHEAD
                })
            },
        },
        promise(
            "no score on a closed backend; no request broken or refused",
            |f| {
                let tally = &f.traffic.tally;
                format!(
                    "{} closed in use, {} refused, {} broken",
                    tally.used_after_close, tally.refused, tally.broken
                )
            },
            |f| {
                let tally = &f.traffic.tally;
                let failed = tally.used_after_close + tally.refused + tally.broken;
                tally.answered > 0 && failed == 0
            },
        ),
        promise(
            "after the traffic and SIGTERM: every backend closed once",
            |f| format!("{} opened, {} closed", f.traffic.opened, f.traffic.closed),
            |f| f.traffic.all_closed && f.traffic.opened == f.traffic.closed,
        ),
        Promise {
            what: format!(
                "a hit beside a load and a close of 2 s each: p99 within {FACTOR} x that on an idle \
                 daemon + {} ms, none stalled",
                SLACK.as_millis()
            ),
            seen: |f| f.calm.hits.shown(),
            kept: |f| f.calm.hits.is_calm(Duration::ZERO),
        },
        Promise {
            what: format!(
                "/health meanwhile: p99 below {} ms, or as near to an idle daemon's; none stalled",
                HEALTH.as_millis()
            ),
            seen: |f| f.calm.health.shown(),
            kept: |f| f.calm.health.is_calm(HEALTH),
        },
        promise(
            "200 clients, one cold model: one load",
            |f| format!("{} loads", f.single_flight),
            |f| f.single_flight == 1,
        ),
        promise(
            "a corrupt file: one attempt in a backoff window, all told why and when to come again",
            |f| {
                let Broken { asked, attempts, told, .. } = &f.broken;
                format!("{attempts} attempts for {asked}, {}", yes(*told, "all told", "not told"))
            },
            |f| f.broken.attempts == 1 && f.broken.told,
        ),
        promise(
            "one more attempt after the window; repaired: well at once",
            |f| {
                let Broken { attempts, attempts_after_window, recovered, .. } = &f.broken;
                let more = attempts_after_window - attempts;
                format!("{more} more, {}", yes(*recovered, "recovered", "still broken"))
            },
            |f| f.broken.attempts_after_window == f.broken.attempts + 1 && f.broken.recovered,
        ),
        promise(
            "a third of 20 clients leaves mid-load: one load, no trace of them",
            |f| {
                let Deserted { attempts, still_waiting, leases, descriptors, .. } = &f.deserted;
                let grown = descriptors.map_or(0, |(before, after)| after.saturating_sub(before));
                format!(
                    "{attempts} loads, {still_waiting} waiting, {leases} leases, {grown} fds more"
                )
            },
            |f| {
                let Deserted { attempts, stayed_answered, still_waiting, leases, descriptors } =
                    &f.deserted;
                // The one that asks for the figures may be there twice, in passing.
                let flat = descriptors.is_none_or(|(before, after)| after <= before + 2);
                *attempts == 1 && *stayed_answered && *still_waiting == 0 && *leases == 0 && flat
            },
        ),
        promise(
            "a file replaced in place: the next request sees it, those in flight finish",
            |f| {
                let Swapped { next_is_new, in_flight_finished_old } = &f.swapped;
                format!(
                    "{}, {}",
                    yes(*next_is_new, "new weights", "old weights"),
                    yes(*in_flight_finished_old, "finished", "not finished")
                )
            },
            |f| f.swapped.next_is_new && f.swapped.in_flight_finished_old,
        ),
        promise(
            "four others are wanted while a backend is used: it stays open",
            |f| yes(f.stays_open, "finished", "closed in use").into(),
            |f| f.stays_open,
        ),
        Promise {
            what: format!(
                "SIGTERM during a load: drained within {} s, all closed",
                DRAIN.as_secs()
            ),
            seen: |f| {
                let Ended { took, opened, closed, alive, .. } = &f.ended;
                format!(
                    "{:.1} s, {opened} opened, {closed} closed, {alive} left alive",
                    took.as_secs_f64()
                )
            },
            kept: |f| {
                let Ended { took, success, opened, closed, alive } = &f.ended;
                *success && *took <= DRAIN && opened == closed && *alive == 0
            },
        },
    ]
}

impl Beside {
    fn shown(&self) -> String {
        let Self { idle_p99, busy_p99, busy_worst } = self;
        format!("{} idle, {} beside, worst {}", ms(*idle_p99), ms(*busy_p99), ms(*busy_worst))
    }

    fn is_calm(&self, enough: Duration) -> bool {
        let near = self.idle_p99 * FACTOR + SLACK;
        // One of 200 that waits for the close is below any p99, so the worst counts, too.
        self.busy_p99 <= near.max(enough) && self.busy_worst < STALL
    }
}

/// Prints the table. The promises that hotset broke.
pub fn judge(hotset: &Findings, naive: &Findings) -> Vec<String> {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH);
    table.set_header(["promise", "hotset", "", "naive cache", ""]);
    let mut broken = Vec::new();
    for Promise { what, seen, kept } in promises() {
        table.add_row([
            &what,
            &seen(hotset),
            yes(kept(hotset), "kept", "BROKEN"),
            &seen(naive),
            yes(kept(naive), "kept", "broken"),
        ]);
        if !kept(hotset) {
            broken.push(what);
        }
    }
    println!("{table}");
    for (name, findings) in [("hotset", hotset), ("naive cache", naive)] {
        let Traffic { tally, seconds, .. } = &findings.traffic;
        let mut took = tally.took.clone();
        took.sort_unstable();
        let at = |percent: usize| took.get((took.len() * percent / 100).min(took.len().max(1) - 1));
        println!(
            "{name}: {:.0} scores a second, {:.1} for each load, median {}, p99 {}",
            tally.answered as f64 / seconds,
            tally.answered as f64 / findings.traffic.opened.max(1) as f64,
            at(50).map_or_else(String::new, |took| ms(*took)),
            at(99).map_or_else(String::new, |took| ms(*took)),
        );
    }
    broken
}

fn yes<'word>(condition: bool, yes: &'word str, no: &'word str) -> &'word str {
    if condition { yes } else { no }
}

fn ms(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}
