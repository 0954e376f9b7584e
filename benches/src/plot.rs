//! What do the hit ratios look like? Small panels, one for each trace, as an SVG file.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{PathElement, Text};
use plotters::prelude::SVGBackend;
use plotters::series::LineSeries;
use plotters::style::{BLACK, Color, IntoFont, RGBColor, WHITE};

const PANEL: (u32, u32) = (380, 270);
const LEGEND_HEIGHT: u32 = 60;
const MOST_COLUMNS: usize = 4;

/// Hotset in a strong red, the others told apart without it.
pub const COLOURS: [RGBColor; 10] = [
    RGBColor(214, 39, 40),
    RGBColor(31, 119, 180),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
    RGBColor(127, 127, 127),
    RGBColor(188, 189, 34),
    RGBColor(23, 190, 207),
    RGBColor(227, 119, 194),
];

/// One trace: a line for each runner, over the capacities.
pub struct Panel {
    pub title: String,
    capacities: Vec<String>,
    lines: Vec<Vec<f64>>,
}

impl Panel {
    pub fn new(title: &str, lines: usize) -> Self {
        Self { title: title.to_owned(), capacities: Vec::new(), lines: vec![Vec::new(); lines] }
    }

    pub fn is_empty(&self) -> bool {
        self.capacities.is_empty()
    }

    /// Adds a capacity, with the hit ratio of each line there.
    pub fn add(&mut self, capacity: String, ratios: &[f64]) {
        self.capacities.push(capacity);
        for (line, &ratio) in self.lines.iter_mut().zip(ratios) {
            line.push(ratio * 100.0);
        }
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Writes the plot to `path`; makes its folder if need be.
pub fn write(path: &Path, names: &[&str], panels: &[Panel]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).context("its folder cannot be made")?;
    }
    std::fs::write(path, svg(names, panels)?).context("it cannot be written")
}

fn svg(names: &[&str], panels: &[Panel]) -> Result<String> {
    // As square as possible, but no wider than a screen.
    let columns = (1..MOST_COLUMNS).find(|n| n * n >= panels.len()).unwrap_or(MOST_COLUMNS);
    let rows = panels.len().div_ceil(columns);
    // Two panels' width at least, or the legend does not fit.
    let width = PANEL.0 * (columns as u32).max(2);
    let height = PANEL.1 * rows as u32 + LEGEND_HEIGHT;
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
        root.fill(&WHITE)?;
        let (grid, bottom) = root.split_vertically(height - LEGEND_HEIGHT);
        for (area, panel) in grid.split_evenly((rows, columns)).iter().zip(panels) {
            draw_panel(area, panel).map_err(|error| anyhow!("{error}"))?;
        }
        draw_legend(&bottom, names, width)?;
        root.present()?;
    }
    Ok(text)
}

fn draw_panel(area: &Area<'_>, panel: &Panel) -> Result<()> {
    let highest = panel.lines.iter().flatten().fold(1.0_f64, |most, &ratio| most.max(ratio));
    let places = panel.capacities.len() as i32;
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(46)
        // Half a place of room at either side, in places of two.
        .build_cartesian_2d(-1..2 * places - 1, 0.0..highest * 1.05)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .x_labels(2 * places as usize + 1)
        .x_label_formatter(&|place| {
            let capacity = usize::try_from(place / 2).ok().filter(|_| place % 2 == 0);
            capacity.and_then(|at| panel.capacities.get(at)).cloned().unwrap_or_default()
        })
        .y_labels(6)
        .y_label_formatter(&|ratio| format!("{ratio:.0} %"))
        .label_style(("sans-serif", 12))
        .draw()?;
    // The first, hotset, is drawn last: on top.
    for (i, line) in panel.lines.iter().enumerate().rev() {
        let style = COLOURS[i % COLOURS.len()].stroke_width(if i == 0 { 3 } else { 1 });
        let points = line.iter().enumerate().map(|(at, &ratio)| (2 * at as i32, ratio));
        chart.draw_series(LineSeries::new(points, style.filled()).point_size(3))?;
    }
    Ok(())
}

fn draw_legend(area: &Area<'_>, names: &[&str], width: u32) -> Result<()> {
    let per_line = names.len().div_ceil(2).max(1);
    let step = width as usize / per_line;
    for (i, name) in names.iter().enumerate() {
        let x = (12 + step * (i % per_line)) as i32;
        let y = (18 + 22 * (i / per_line)) as i32;
        let style = COLOURS[i % COLOURS.len()].stroke_width(3);
        area.draw(&PathElement::new([(x, y), (x + 22, y)], style))?;
        let font = ("sans-serif", 13).into_font().color(&BLACK);
        area.draw(&Text::new((*name).to_owned(), (x + 28, y - 6), font))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_panel_and_name_is_in_the_picture() {
        let mut panels: Vec<Panel> =
            ["one", "two", "three"].iter().map(|title| Panel::new(title, 2)).collect();
        for panel in &mut panels {
            panel.add("1 %".to_owned(), &[0.2, 0.1]);
            panel.add("10 %".to_owned(), &[0.5, 0.4]);
        }
        let svg = svg(&["hotset", "other"], &panels).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for text in ["one", "two", "three", "hotset", "other", "10 %"] {
            assert!(svg.contains(text), "{text}");
        }
    }

    #[test]
    fn one_capacity_and_no_hit_can_be_drawn() {
        let mut panel = Panel::new("none", 1);
        panel.add("20 entries".to_owned(), &[0.0]);
        assert!(svg(&["hotset"], &[panel]).is_ok());
    }
}
