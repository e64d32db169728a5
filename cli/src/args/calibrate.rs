//! `mirage calibrate`.

use std::path::PathBuf;

use clap::Args;

use super::whole;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    mirage calibrate --list                                                      # all kinds and what may be set\n  \
    mirage calibrate mzi mzi_dl100um.csv --reference mzi_reference.csv -o runs/mzi\n  \
    mirage calibrate ring rings/*.mat --set radius=10um --set couplers=equal\n  \
    mirage calibrate waveguide guide_0um.csv guide_5000um.csv guide_20000um.csv\n  \
    mirage calibrate coupler dc_length0um.csv dc_length5um.csv --set structure=interferometer\n\n\
    Writes fit.json (parameters with standard errors and 95 % intervals), fit.csv (data, model, residual), fit.svg, fragment.toml\n\
    (values for a design file, with their sources), and tables of the kind; for several files of a kind that fits each, a\n\
    folder for each and fits.csv, and from three files on spread.toml (means and how far devices differ, for characterize --spread).\n\
    docs/calibration.md has models and formulas, docs/outputs.md every column.")]
pub struct CalibrateArgs {
    /// What was measured; --list shows all.
    #[arg(required_unless_present = "list")]
    pub kind: Option<String>,
    /// Measured data: CSV, or MATLAB 5 as openEBL writes it.
    #[arg(required_unless_present = "list")]
    pub files: Vec<PathBuf>,
    /// What is known besides the data, such as radius=10um; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Spectrum of a structure that holds the couplers alone.
    #[arg(long, value_name = "FILE")]
    pub reference: Option<PathBuf>,
    /// Folder for the results.
    #[arg(short, long, value_name = "DIR", default_value = "runs/calibration")]
    pub output: PathBuf,
    /// List the kinds and what may be set for each.
    #[arg(long)]
    pub list: bool,
    /// Threads to use; results do not depend on it [default: all cores].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u16>(1, 1024))]
    pub threads: Option<u16>,
    /// Print the fits as JSON to standard output, and nothing else.
    #[arg(long)]
    pub json: bool,
}
