//! The processor time of a request as a multiple of the bare server's. On a shared machine the speed of a core changes from
//! one second to the next, so the two are measured in turns of a fraction of a second, both servers alive, and the figure
//! is the median over the turns.

use std::io::Result;
use std::time::Duration;

use crate::generator::{Order, Request, drive};
use crate::process::{Scratch, Server};
use crate::report::median;
use crate::suite::{Plan, create, get, put, with_cpu};

/// Turns of each pair, and the time of a turn.
const TURNS: usize = 15;
const TURN: Duration = Duration::from_millis(200);

/// Processor time of one kind of request.
pub struct Cost {
    /// Microseconds a request.
    pub micros: f64,
    /// As a multiple of the bare server's.
    pub to_bare: f64,
}

/// Measures a streamed PutItem and a GetItem of 10,000 keys at 64 connections.
///
/// # Errors
/// A server does not start, or answers an error.
pub fn costs(plan: &Plan) -> Result<[Cost; 2]> {
    let bare = Server::bare()?;
    let data = Scratch::new(&plan.scratch, "cpu")?;
    let server = Server::tailrace(&plan.binary, &["serve"], &data.0)?;
    create(&mut server.connect()?, "streamed", true)?;
    drive(server.address, 64, &put("streamed"), Order::Sequential, plan.time)?;
    let each = |server: &Server, request: &Request| {
        Ok::<f64, std::io::Error>(with_cpu(server, || drive(server.address, 64, request, Order::Random, TURN))?.1)
    };
    let unit = put("t");
    let cost = |request: &Request| {
        let (mut micros, mut ratios) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            let before = each(&bare, &unit)?;
            let own = each(&server, request)?;
            let after = each(&bare, &unit)?;
            micros.push(own);
            ratios.push(own / f64::midpoint(before, after));
        }
        Ok::<Cost, std::io::Error>(Cost { micros: median(&micros), to_bare: median(&ratios) })
    };
    Ok([cost(&put("streamed"))?, cost(&get("streamed"))?])
}
