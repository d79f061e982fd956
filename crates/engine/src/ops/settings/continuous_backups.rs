//! UpdateContinuousBackups and DescribeContinuousBackups: what is set is kept and told back. The window is the one that AWS would have;
//! restoring is refused (COMPAT.md). Source: docs/spec/dynamodb-api.md 8.4.

use std::sync::Arc;
use std::time::Duration;

use tailrace_api::Timestamp;
use tailrace_api::tables::{
    ContinuousBackupsAnswer, ContinuousBackupsDescription, DescribeContinuousBackupsRequest,
    PointInTimeRecoveryDescription, Switch, UpdateContinuousBackupsRequest,
};
use tailrace_core::limits::{RECOVERY_LAG, RECOVERY_PERIOD_DAYS};
use tailrace_core::{ApiError, EpochMs, ErrorCode};

use crate::caller::Caller;
use crate::db::{Db, StoredTable};
use crate::tables::settings::{self, PointInTimeRecovery};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs UpdateContinuousBackups. Switched on again it stays on since it was; switched off and on, the window begins anew.
///
/// # Errors
/// What the client is to read.
pub async fn update_continuous_backups(
    db: &Db,
    request: UpdateContinuousBackupsRequest,
    caller: &Caller<'_>,
) -> Result<ContinuousBackupsAnswer, ApiError> {
    let wanted = request.specification;
    if !wanted.enabled && wanted.period_days.is_some() {
        return Err(ApiError::validation(
            "Invalid Request: Cannot specify RecoveryPeriodInDays when disabling point-in-time recovery.",
        ));
    }
    let table = find(db, &request.table_name).await?;
    let now = db.clock.now();
    let recovery =
        settings::change(db, &table, not_found(&table.name), ("UpdateContinuousBackups", caller), |settings| {
            let recovery = &mut settings.point_in_time_recovery;
            *recovery = match recovery.take() {
                _ if !wanted.enabled => None,
                Some(old) => {
                    Some(PointInTimeRecovery { period_days: wanted.period_days.unwrap_or(old.period_days), ..old })
                }
                None => Some(PointInTimeRecovery {
                    since_ms: now,
                    period_days: wanted.period_days.unwrap_or(RECOVERY_PERIOD_DAYS),
                }),
            };
            Ok(recovery.clone())
        });
    Ok(describe(recovery.await?, now))
}

/// Runs DescribeContinuousBackups.
///
/// # Errors
/// What the client is to read.
pub async fn describe_continuous_backups(
    db: &Db,
    request: DescribeContinuousBackupsRequest,
    _caller: &Caller<'_>,
) -> Result<ContinuousBackupsAnswer, ApiError> {
    let table = find(db, &request.table_name).await?;
    let settings = settings::read(db, table.id).await?;
    Ok(describe(settings.point_in_time_recovery, db.clock.now()))
}

fn describe(recovery: Option<PointInTimeRecovery>, now: EpochMs) -> ContinuousBackupsAnswer {
    let window = recovery.as_ref().map(|recovery| {
        let earliest = recovery.since_ms.max(now.minus(DAY * recovery.period_days));
        (earliest, recovery.since_ms.max(now.minus(RECOVERY_LAG)))
    });
    ContinuousBackupsAnswer {
        continuous_backups_description: ContinuousBackupsDescription {
            continuous_backups_status: Switch::Enabled,
            point_in_time_recovery_description: PointInTimeRecoveryDescription {
                point_in_time_recovery_status: if recovery.is_some() { Switch::Enabled } else { Switch::Disabled },
                recovery_period_in_days: recovery.map(|recovery| recovery.period_days),
                earliest_restorable_date_time: window.map(|(earliest, _)| Timestamp(earliest)),
                latest_restorable_date_time: window.map(|(_, latest)| Timestamp(latest)),
            },
        },
    }
}

/// The table; one that is being made or deleted has no backups, and is none that is found.
async fn find(db: &Db, name: &str) -> Result<Arc<StoredTable>, ApiError> {
    let found = db.find_table(name).await?.filter(|table| table.is_served(db.clock.now()));
    found.ok_or_else(|| not_found(name))
}

fn not_found(name: &str) -> ApiError {
    ApiError::new(ErrorCode::TableNotFoundException, format!("Table not found: {name}"))
}
