//! How does the hit ratio grow with the capacity? One trace as an SVG file, capacities on a
//! logarithmic axis.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::coord::combinators::IntoLogRange;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{PathElement, Text};
use plotters::prelude::SVGBackend;
use plotters::series::{DashedLineSeries, LineSeries};
use plotters::style::{BLACK, Color, IntoFont, RGBColor, ShapeStyle, WHITE};

use crate::plot::COLOURS;
use crate::report::grouped;

const SIZE: (u32, u32) = (980, 560);
const LEGEND_WIDTH: u32 = 180;

/// A line for each name, over entries.
pub struct Curve {
    title: String,
    names: Vec<String>,
    /// Capacity, and the ratio of each name in per cent.
    points: Vec<(f64, Vec<f64>)>,
}

impl Curve {
    pub fn new(title: &str, names: &[&str]) -> Self {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        Self { title: title.to_owned(), names, points: Vec::new() }
    }

    pub fn add(&mut self, entries: usize, ratios: &[f64]) {
        let percent = ratios.iter().map(|ratio| ratio * 100.0).collect();
        self.points.push((entries as f64, percent));
    }
}

/// Writes `curve` to `path`; makes its folder if need be. Nothing is written of a single point.
pub fn write(path: &Path, mut curve: Curve) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).context("its folder cannot be made")?;
    }
    curve.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    curve.points.dedup_by(|a, b| a.0 == b.0);
    if curve.points.len() < 2 {
        return Ok(());
    }
    std::fs::write(path, svg(&curve)?).context("it cannot be written")
}

fn svg(curve: &Curve) -> Result<String> {
    ensure!(curve.points.len() >= 2, "a curve needs two points");
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (left, right) = root.split_horizontally(SIZE.0 - LEGEND_WIDTH);
        draw(&left, curve).map_err(|error| anyhow!("{error}"))?;
        legend(&right, &curve.names)?;
        root.present()?;
    }
    Ok(text)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The colour of a line; after the last colour they come again, dashed.
fn colour(line: usize) -> (RGBColor, bool) {
    (COLOURS[line % COLOURS.len()], line >= COLOURS.len())
}

fn draw(area: &Area<'_>, curve: &Curve) -> Result<()> {
    let ratios = curve.points.iter().flat_map(|(_, ratios)| ratios);
    let highest = ratios.fold(1.0_f64, |most, &ratio| most.max(ratio));
    let (first, last) = (curve.points[0].0, curve.points[curve.points.len() - 1].0);
    let mut chart = ChartBuilder::on(area)
        .caption(&curve.title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d((first..last * 1.01).log_scale(), 0.0..highest * 1.05)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .x_desc("entries")
        .x_label_formatter(&|&entries| grouped(entries.round() as u64))
        .y_label_formatter(&|ratio| format!("{ratio:.0} %"))
        .label_style(("sans-serif", 13))
        .draw()?;
    // The first, hotset, is drawn last: on top.
    for line in (0..curve.names.len()).rev() {
        let points = curve.points.iter().map(|(entries, ratios)| (*entries, ratios[line]));
        let (colour, dashed) = colour(line);
        let style = colour.stroke_width(if line == 0 { 3 } else { 1 });
        if dashed {
            chart.draw_series(DashedLineSeries::new(points, 6, 4, style))?;
        } else {
            chart.draw_series(LineSeries::new(points, style.filled()).point_size(3))?;
        }
    }
    Ok(())
}

fn legend(area: &Area<'_>, names: &[String]) -> Result<()> {
    for (line, name) in names.iter().enumerate() {
        let y = (50 + 24 * line) as i32;
        let (colour, dashed) = colour(line);
        let style: ShapeStyle = colour.stroke_width(3);
        // Dashed ones in two pieces.
        let pieces: &[(i32, i32)] = if dashed { &[(4, 13), (19, 28)] } else { &[(4, 28)] };
        for &(from, to) in pieces {
            area.draw(&PathElement::new([(from, y), (to, y)], style))?;
        }
        let font = ("sans-serif", 14).into_font().color(&BLACK);
        area.draw(&Text::new(name.clone(), (34, y - 7), font))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_in_the_picture() {
        let names: Vec<String> = (0..14).map(|i| format!("policy-{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut curve = Curve::new("a trace", &names);
        for entries in [20, 200, 100_000] {
            curve.add(entries, &[0.25; 14]);
        }
        let svg = svg(&curve).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert!(names.iter().all(|&name| svg.contains(name)) && svg.contains("a trace"));
    }

    #[test]
    fn one_point_is_no_curve() {
        let mut curve = Curve::new("t", &["a"]);
        curve.add(20, &[0.0]);
        assert!(svg(&curve).is_err());
    }
}
