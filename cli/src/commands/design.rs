//! `mirage design`

use comfy_table::Table;

use mirage_devices::component::RingSwitch;

use crate::args::DesignCommand;
use crate::design::Design;
use crate::error::Result;

pub fn run(command: &DesignCommand) -> Result<()> {
    match command {
        DesignCommand::Check { design } => {
            let design = Design::read(design.as_deref())?;
            for warning in design.system.warnings() {
                say!("note: {warning}");
            }
            if let Some(ring) = design.devices.ring_switch()? {
                print_ring(&ring);
            }
            say!(
                "{} is a sound design of {} values",
                design.document.file(),
                design.document.provenance()?.len()
            );
        }
        DesignCommand::Show { design, text, json } => {
            let design = Design::read(design.as_deref())?;
            if *text {
                say_part!("{}", design.document.text());
            } else if *json {
                say!("{}", serde_json::to_string_pretty(&design.document.provenance()?)?);
            } else {
                let mut table = Table::new();
                table
                    .load_style(comfy_table::presets::NOTHING)
                    .set_header(["key", "value", "mark", "source"]);
                for p in design.document.provenance()? {
                    table.add_row([p.key, p.value, p.mark, p.source]);
                }
                say!("{table}");
            }
        }
    }
    Ok(())
}

/// What follows from a ring that is described by its own parameters.
fn print_ring(ring: &RingSwitch) {
    say!(
        "ring: free spectral range {:.1} GHz, linewidth {:.2} GHz, photon lifetime {:.3} ps",
        ring.free_spectral_range() * 1e-9,
        ring.linewidth() * 1e-9,
        ring.photon_lifetime() * 1e12
    );
    say!(
        "ring: pass loss {:.4} dB, drop loss {:.4} dB, extinction {:.2} dB detuned and {:.2} dB on resonance",
        ring.pass_loss_db(),
        ring.drop_loss_db(),
        ring.off_extinction_db(),
        ring.on_extinction_db()
    );
}
