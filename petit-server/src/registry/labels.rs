//! Changing what is written down of a client: see [`label`](super::label) for what that is.

use petit_engine::name::DeviceId;

use super::change::Actor;
use super::change_body::ChangeBody;
use super::error::StoreError;
use super::label::{LabelEdit, Labels, check_tags};
use super::model::Delta;
use super::rows::Rows;
use super::rules::Registry;

impl<R: Rows> Registry<'_, R> {
    /// Changes what is written down of a client. Writes nothing when that is as it was. Returns how it is now.
    ///
    /// # Errors
    /// [`StoreError`], of a conflict when it is not registered, or would have too many tags.
    pub async fn label(
        mut self,
        device: DeviceId,
        edit: LabelEdit,
        actor: Actor,
    ) -> Result<(Labels, Delta), StoreError> {
        self.registered(&device).await?;
        let before = self.rows.labels(&device).await?;
        let labels = edit.applied_to(&before);
        check_tags(&labels.tags)?;
        if labels == before {
            return Ok((labels, self.delta));
        }
        self.rows.set_labels(&device, &labels).await?;
        let body = ChangeBody::ClientLabelled { tags: labels.tags.clone(), note: labels.note.clone() };
        self.record(actor, device, &body).await?;
        self.delta.tagged.push((device, labels.tags.clone()));
        Ok((labels, self.delta))
    }
}
