//! `mirage design`

use comfy_table::Table;

use crate::args::DesignCommand;
use crate::design::Design;
use crate::error::Result;

pub fn run(command: &DesignCommand) -> Result<()> {
    match command {
        DesignCommand::Check { design } => {
            let design = Design::read(design.as_deref())?;
            for warning in design.system.warnings() {
                println!("note: {warning}");
            }
            println!(
                "{} is a sound design of {} values",
                design.document.file(),
                design.document.provenance()?.len()
            );
        }
        DesignCommand::Show { design, text, json } => {
            let design = Design::read(design.as_deref())?;
            if *text {
                print!("{}", design.document.text());
            } else if *json {
                println!("{}", serde_json::to_string_pretty(&design.document.provenance()?)?);
            } else {
                let mut table = Table::new();
                table
                    .load_style(comfy_table::presets::NOTHING)
                    .set_header(["key", "value", "mark", "source"]);
                for p in design.document.provenance()? {
                    table.add_row([p.key, p.value, p.mark, p.source]);
                }
                println!("{table}");
            }
        }
    }
    Ok(())
}
